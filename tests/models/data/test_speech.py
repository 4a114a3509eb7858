"""What is trained on: a split of a catalog, or a manifest, also one that was exported; anything else is one line."""

import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from curate.audio import sha256_of
from curate.catalog import rows_of
from curate.errors import TrainingError, VoxcurateError
from curate.export.writing import export_benchmark
from curate.schema import CORPORA, DECISIONS, UTTERANCES
from curate.storage import location
from models.data.crops import FileReader
from models.data.speech import of_manifest, of_split
from tests.models.data.speech_made import ramp
from tests.models.training.runs_made import spoken
from tests.models.training.tones_made import BENCHMARK, catalog_of, described, files_of, manifest_of, tones


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tones(tmp_path_factory.mktemp("tones"), num_people=4, each=2, seconds=0.1)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory, root):
    made = catalog_of(tmp_path_factory.mktemp("made") / "catalog", root, test=("p3",))
    made.publish(DECISIONS, DECISIONS.arrow().empty_table(), part="clean", fingerprint="x")
    return made


def same(one, other):
    """But for their names."""
    assert one.people == other.people
    for column in ("start", "num_samples", "sample_rate_hz", "channel", "person"):
        assert np.array_equal(getattr(one, column), getattr(other, column)), column
    assert list(one.content_sha256) == list(other.content_sha256)
    whole = [FileReader(speech).crops(np.arange(len(one)), 1600, np.random.default_rng(0)) for speech in (one, other)]
    assert np.array_equal(*whole)


def test_a_split_holds_its_utterances_under_its_people(catalog, root):
    speech = of_split(catalog, BENCHMARK, "train")
    assert speech.utterance_ids.to_pylist() == [f"tones/p{who}/{take}" for who in range(3) for take in range(2)]
    assert speech.people == ["tones/p0", "tones/p1", "tones/p2"]
    assert speech.person.tolist() == [0, 0, 1, 1, 2, 2]
    assert list(speech.files) == files_of(root)[:6]
    assert speech.start.tolist() == [0] * 6
    assert speech.num_samples.tolist() == [1600] * 6
    assert speech.channel.tolist() == [-1] * 6
    assert speech.content_sha256[4] == sha256_of(root / "p2" / "0.wav")
    assert speech.duration_s.tolist() == [0.1] * 6


def test_stretches_and_channels_are_those_of_the_catalog(tmp_path):
    (tmp_path / "p0").mkdir()
    file = ramp(tmp_path / "p0" / "0.wav", 16_000)
    rows = [
        described(file, tmp_path) | {"utterance_id": "tones/a", "start_s": 0.25, "duration_s": 0.5, "channel": 1},
        described(file, tmp_path)
        | {"utterance_id": "tones/b", "start_s": 3.5 / 16_000, "duration_s": 15_996.5 / 16_000},
        described(file, tmp_path)
        | {"utterance_id": "tones/c", "start_s": 1.5 / 16_000, "duration_s": 15_998.5 / 16_000},
    ]
    speech = of_split(catalog_of(tmp_path / "catalog", tmp_path, utterances=rows), BENCHMARK, "train")
    assert speech.start.tolist() == [4000, 4, 2]
    assert speech.num_samples.tolist() == [8000, 15_996, 15_998], "the last one rounds up at both ends: it is cut"
    assert speech.channel.tolist() == [1, -1, -1]


def test_taking_rows_gives_new_codes(catalog):
    speech = of_split(catalog, BENCHMARK, "train")
    some = speech.take(np.array([5, 0]))
    assert some.utterance_ids.to_pylist() == ["tones/p2/1", "tones/p0/0"]
    assert some.people == ["tones/p0", "tones/p2"]
    assert some.person.tolist() == [1, 0]
    assert [file.parent.name for file in some.files] == ["p2", "p0"]


def test_a_fingerprint_is_of_what_is_heard_and_not_of_where_it_lies(catalog):
    speech = of_split(catalog, BENCHMARK, "train")
    assert replace(speech, files=["elsewhere"] * 6).fingerprint == speech.fingerprint
    others = [
        replace(speech, start=speech.start + 1),
        replace(speech, person=speech.person[::-1].copy()),
        replace(speech, people=["x", *speech.people[1:]]),
        replace(speech, content_sha256=["0" * 64, *speech.content_sha256[1:]]),
        speech.take(np.arange(5)),
    ]
    assert len({one.fingerprint for one in (speech, *others)}) == 6


def test_a_catalog_and_its_corpora_may_lie_elsewhere(tmp_path, root):
    place = location("memory://shelf/speech")
    for audio in files_of(root):
        (place / audio.relative_to(root).as_posix()).write_bytes(audio.read_bytes())
    catalog = catalog_of(tmp_path / "catalog", root, test=("p3",))
    corpus = {"corpus": "tones", "reader": "folder", "root": str(place)}
    here = of_split(catalog, BENCHMARK, "train")
    catalog.publish(CORPORA, rows_of(CORPORA, [corpus]), fingerprint="y")
    same(of_split(catalog, BENCHMARK, "train"), here)
    place.fs.store.clear()


@pytest.mark.parametrize(
    ("benchmark", "split", "said"),
    [
        ("other", "train", r"catalog: no benchmark 'other'; expected toy$"),
        (BENCHMARK, "dev", r"^toy: no split 'dev', or an empty one; expected test, train$"),
    ],
)
def test_splits_that_are_not_there_are_told(catalog, benchmark, split, said):
    with pytest.raises(VoxcurateError, match=said):
        of_split(catalog, benchmark, split)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"duration_s": None, "damage": "unreadable"}, r"^tones/p0/0: no duration_s is known \(unreadable\); expected"),
        ({"sample_rate_hz": None, "damage": "missing"}, r"^tones/p0/0: no sample_rate_hz is known \(missing\)"),
        ({"content_sha256": None}, r"^tones/p0/0: no content_sha256 is known \(not looked at\)"),
    ],
)
def test_an_utterance_without_a_length_or_rate_is_told(tmp_path, root, changed, said):
    rows = [described(audio, root) for audio in files_of(root)]
    rows[0] |= changed
    with pytest.raises(VoxcurateError, match=said):
        of_split(catalog_of(tmp_path / "catalog", root, utterances=rows), BENCHMARK, "train")


def test_tables_that_are_not_of_one_run_are_told(tmp_path, root):
    rows = [described(audio, root) for audio in files_of(root)]
    catalog = catalog_of(tmp_path / "catalog", root)
    catalog.publish(UTTERANCES, rows_of(UTTERANCES, rows[1:]), part="tones", fingerprint="y")
    with pytest.raises(VoxcurateError, match=r"catalog: 1 utterances are not in its tables"):
        of_split(catalog, BENCHMARK, "train")
    catalog.publish(UTTERANCES, rows_of(UTTERANCES, rows), part="tones", fingerprint="z")
    catalog.publish(CORPORA, CORPORA.arrow().empty_table(), fingerprint="y")
    with pytest.raises(VoxcurateError, match=r"catalog: tones: no such corpus; expected a completed `curate run`"):
        of_split(catalog, BENCHMARK, "train")


# ----------------------------------------------------------------------------------------------------------- manifests


@pytest.mark.parametrize(
    ("form", "name"), [("speechbrain", "train.csv"), ("speechbrain", "train.json"), ("nemo", "train_manifest.json")]
)
def test_what_an_export_wrote_is_what_the_catalog_holds(tmp_path, catalog, form, name):
    export_benchmark(catalog, form, tmp_path / "out")
    found = of_manifest(tmp_path / "out" / name)
    assert found.utterance_ids.to_pylist() == of_split(catalog, BENCHMARK, "train").utterance_ids.to_pylist()
    same(found, of_split(catalog, BENCHMARK, "train"))


def test_paths_are_relative_to_the_manifest_wherever_one_stands(root, monkeypatch):
    path = manifest_of(root)
    whole = of_manifest(path)
    assert len(whole) == 8
    monkeypatch.chdir(root / "p0")
    same(of_manifest(path.parent / "p0" / ".." / "all.csv"), whole)
    same(of_manifest(type(path)("../all.csv")), whole)


def entries(root):
    return {
        f"{one.parent.name}-{one.stem}": {"wav": str(one.relative_to(root)), "spk_id": one.parent.name}
        for one in files_of(root)
    }


def test_json_of_speechbrain_may_be_on_one_line(root):
    whole = of_manifest(manifest_of(root))
    for name, indent in (("one.json", None), ("many.json", 1)):
        (root / name).write_text(json.dumps(entries(root), indent=indent))
        same(of_manifest(root / name), whole)


@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
def test_nemo_has_an_object_a_line(root, suffix):
    whole = of_manifest(manifest_of(root))
    lines = [
        json.dumps({"audio_filepath": one["wav"], "duration": 0.1, "label": one["spk_id"]})
        for one in entries(root).values()
    ]
    (root / f"nemo{suffix}").write_text("\n".join(lines))
    same(of_manifest(root / f"nemo{suffix}"), whole)


def nemo(folder, **stretch):
    line = {"audio_filepath": "x.wav", "label": "an", **stretch}
    (folder / "x.json").write_text(json.dumps(line) + "\n")
    return folder / "x.json"


@given(first=st.integers(0, 999), num=st.integers(1, 1000), rate=st.sampled_from([8_000, 11_025, 16_000, 44_100]))
def test_a_stretch_in_seconds_is_the_samples_that_it_was(tmp_path_factory, first, num, rate):
    folder = tmp_path_factory.mktemp("one")
    soundfile.write(folder / "x.wav", np.zeros(first + num), rate)
    path = nemo(folder, offset=float(Fraction(first, rate)), duration=float(Fraction(num, rate)))
    found = of_manifest(path)
    assert (found.start.tolist(), found.num_samples.tolist()) == ([first], [num])


def test_a_rounded_duration_ends_with_its_file(tmp_path):
    soundfile.write(tmp_path / "x.wav", np.zeros(16_000), 16_000)
    assert of_manifest(nemo(tmp_path, offset=0.5, duration=0.5099)).num_samples.tolist() == [8000]
    for offset, duration in ((0.5, 0.52), (1.0, 0.005), (2.0, None)):
        with pytest.raises(VoxcurateError, match=r"of x\.wav, which has 16000; expected them within the file$"):
            of_manifest(nemo(tmp_path, offset=offset, duration=duration))


WRONG = {
    "x.txt": ("", r"x\.txt: expected a manifest of SpeechBrain \(\.csv, \.json\) or NeMo"),
    "x.csv": ("", r"x\.csv:1: columns '' *; expected"),
    "header.csv": ("ID,wav,spk_id\n", r"header\.csv: no rows"),
    "short.csv": ("ID,wav,spk_id\na,p0/0.wav\n", r"short\.csv:2: 2 fields; expected 3"),
    "nobody.csv": ("ID,wav,spk_id\na,p0/0.wav,\n", r"nobody\.csv:2: no `spk_id`"),
    "twice.csv": ("ID,wav,spk_id\na,p0/0.wav,x\na,p0/1.wav,x\n", r"twice\.csv: a: twice; expected every utterance"),
    "gone.csv": ("ID,wav,spk_id\na,p0/9.wav,x\n", r"p0/9\.wav"),
    "text.csv": ("ID,wav,spk_id\na,text.csv,x\n", r"text\.csv: .*; expected a sound file"),
    "long.csv": (
        "ID,wav,start,stop,spk_id\na,p0/0.wav,8,16000,x\n",
        r"samples 8 to 16000 of p?.*p0/0\.wav, which has 1600",
    ),
    "filled.csv": ("ID,wav,spk_id\na,$data/p0/0.wav,x\n", r"filled\.csv:2: `wav` holds '\$data'"),
    "no.json": ("nothing", r"no\.json:1: 'n' where \{ should be"),
    "list.json": ("[1, 2]", r"list\.json:1: '\[' where"),
    "empty.json": ("{}", r"empty\.json: no rows"),
    "nemo.json": ('{"audio_filepath": "p0/0.wav"}\n', r"nemo\.json:1: no `speaker` or `label`"),
    "cut.jsonl": ('{"audio_filepath": "p0/0.wa', r"cut\.jsonl:1: no JSON"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_manifest_is_told_in_one_line(root, name):
    text, said = WRONG[name]
    (root / name).write_text(text)
    with pytest.raises(VoxcurateError, match=said) as told:
        of_manifest(root / name)
    assert "\n" not in str(told.value)
    (root / name).unlink()


def test_a_manifest_that_is_not_there_or_no_text_is_told(root):
    with pytest.raises(VoxcurateError, match=r"never\.csv: No such file or directory; expected a manifest"):
        of_manifest(root / "never.csv")
    (root / "bytes.csv").write_bytes(b"ID,wav,spk_id\n\xff\xfe,x,y\n")
    with pytest.raises(VoxcurateError, match=r"bytes\.csv:.* no UTF-8"):
        of_manifest(root / "bytes.csv")


def test_ids_are_strings_of_arrow(root):
    assert of_manifest(manifest_of(root)).utterance_ids.type == pa.string()


def test_speech_is_joined_and_codes_of_people_stay():
    one, other = spoken(2, 2), spoken(3, 1)
    other = replace(
        other,
        utterance_ids=pa.array(["x", "y", "z"]),
        people=["p1", "q", "p0"],
        transcripts=["a", None, "b"],
        ages=[(3, 3), None, None],
    )
    both = one.joined(other)
    assert both.people == ["p0", "p1", "q"]
    assert both.person.tolist() == [0, 0, 1, 1, 1, 2, 0]
    assert both.transcripts == [None] * 4 + ["a", None, "b"]
    assert both.ages == [None] * 4 + [(3, 3), None, None]
    assert both.sex == [None] * 7
    assert both.take(np.array([4, 0])).transcripts == ["a", None]
    assert both.take(np.array([4, 0])).people == ["p0", "p1"]
    with pytest.raises(TrainingError, match=r"^p0/0: 2 utterances in both"):
        one.joined(spoken(1, 2))
