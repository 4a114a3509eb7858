"""A catalog leaves by the command in every form, whatever its audio comes in, and what is wrong is one line."""

import re
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from typer.main import get_command

from curate import audio
from curate.catalog import Catalog, rows_of
from curate.corpora import READERS
from curate.export import FORMS, form
from curate.export.sound import quantised
from curate.scan import file_of, scan
from curate.schema import CORPORA, DECISIONS, SPLITS, TRIALS, UTTERANCES, VERSION
from curate.versions import say
from flows import cli

CALLS = {
    "wav.scp": "A sph2pipe -f wav -p -c 1 '{root}/call 7.sph' |\nB sph2pipe -f wav -p -c 2 '{root}/call 7.sph' |\n",
    "segments": "A-1 A 0.25 1.0\nA-2 A 1.0 1.75\nB-1 B 0.5 1.5\n",
    "utt2spk": "A-1 A\nA-2 A\nB-1 B\n",
    "spk2gender": "A f\nB m\n",
}
TALKS = """path,speaker,start_s,duration_s,transcript
long.flac,chi,0.5,0.75,"một, hai"
long.flac,dũng,1.25,0.5,
pod.m4a,chi,0.25,0.5,ba
"""
PEOPLE = {"calls/A": "calls/A", "studio/an": "calls/A", "talks/chi": "talks/chi", "vox/chi": "talks/chi"}


def noise(num, channels=1, *, bits=16):
    whole = np.random.default_rng(num).integers(-(2 ** (bits - 2)), 2 ** (bits - 2), (num, channels))
    return whole.astype(np.int16) if bits == 16 else (whole << 8).astype(np.int32)


def write_m4a(path, samples, *, rate):
    """(N, channels) of floats as AAC."""
    layout = {1: "mono", 2: "stereo"}[samples.shape[1]]
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=rate)
        stream.layout = layout
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="flt", layout=layout)
        frame.sample_rate, frame.pts = rate, 0
        blocks = av.AudioResampler(stream.format.name, layout, rate, frame_size=stream.frame_size or None)
        for block in (*blocks.resample(frame), *blocks.resample(None), None):
            container.mux(stream.encode(block))


def write_corpora(root):
    """A call of two sides in SPHERE, whole files of 16 and 24 bits, stretches of a FLAC and an m4a, and m4a files."""
    for name in ("calls", "studio/an", "studio/bình", "talks", "vox/chi"):
        (root / name).mkdir(parents=True)
    soundfile.write(root / "calls/call 7.sph", noise(16_000, 2), 8_000, format="NIST", subtype="PCM_16")
    for name, text in CALLS.items():
        (root / "calls" / name).write_text(text.format(root=root / "calls"))
    soundfile.write(root / "studio/an/1.wav", noise(16_000), 16_000)
    soundfile.write(root / "studio/an/2.flac", noise(22_050, bits=24), 22_050, subtype="PCM_24")
    soundfile.write(root / "studio/bình/một hai.wav", noise(12_000, bits=24), 16_000, subtype="PCM_24")
    soundfile.write(root / "talks/long.flac", noise(32_000), 16_000)
    write_m4a(root / "talks/pod.m4a", (noise(32_000) / 2.0**15).astype(np.float32), rate=16_000)
    (root / "talks/talks.csv").write_text(TALKS)
    write_m4a(root / "vox/chi/v1.m4a", (noise(24_000) / 2.0**15).astype(np.float32), rate=16_000)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """The corpora, scanned into `catalog`, where all are kept: a benchmark `small` as the last steps leave it."""
    root = tmp_path_factory.mktemp("export")
    write_corpora(root)
    catalog, corpora = Catalog(root / "catalog"), []
    keys = {"talks": {"manifest": root / "talks/talks.csv"}}
    for name, reader in (("calls", "kaldi"), ("studio", "folder"), ("talks", "manifest"), ("vox", "folder")):
        settings = READERS[reader].Settings(
            reader=reader, name=name, root=root / name, min_duration_s=0.0, **keys.get(name, {})
        )
        aside = root / "cache" / name
        aside.mkdir(parents=True)
        scan(settings, aside, root / "cache" / f"{name}.sqlite", progress=lambda num: None)
        catalog.path(UTTERANCES, name).parent.mkdir(parents=True, exist_ok=True)
        file_of(aside, UTTERANCES).rename(catalog.path(UTTERANCES, name))
        corpora.append({"corpus": name, "reader": reader, "root": str(root / name)})
    say(catalog.root, VERSION)  # as a run does before its first table
    catalog.publish(CORPORA, rows_of(CORPORA, corpora), fingerprint="")
    catalog.publish(DECISIONS, rows_of(DECISIONS, []), part="clean", fingerprint="")
    publish(catalog, "small")
    return root


def publish(catalog, benchmark):
    """All utterances, in the test all but `bình`; each test utterance against the one after it."""
    people = {one["utterance_id"]: one["speaker_id"] for one in catalog.read(UTTERANCES).to_pylist()}
    people = {one: PEOPLE.get(label, label) for one, label in people.items()}
    rows = [
        {
            "benchmark": benchmark,
            "utterance_id": one,
            "identity_id": person,
            "split": "train" if "bình" in one else "test",
        }
        for one, person in people.items()
    ]
    catalog.publish(SPLITS, rows_of(SPLITS, rows), part=benchmark, fingerprint="")
    test = [row["utterance_id"] for row in rows if row["split"] == "test"]
    trials = [
        {"benchmark": benchmark, "list": "test", "enrol_id": a, "test_id": b, "is_target": people[a] == people[b]}
        for a, b in pairwise(test)
    ]
    catalog.publish(TRIALS, rows_of(TRIALS, trials), part=benchmark, fingerprint="")


@pytest.fixture
def command(monkeypatch, capsys):
    """The command within this process: exit code, standard output and standard error."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["curate", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return ended.value.code or 0, said.out, said.err

    return run


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --------------------------------------------------------------------------------------------------------------- forms

READ_AGAIN = {  # by which key of our reader; the other forms are read again in tests of their own
    "kaldi": ("manifest", "."),
    "lhotse": ("cuts", "small_cuts_{}.jsonl.gz"),
    "speechbrain": ("manifest", "{}.csv"),
    "nemo": ("manifest", "{}_manifest.json"),
    "wespeaker": ("manifest", "."),
}
IDS = {
    *("calls/A-1", "calls/A-2", "calls/B-1", "studio/an/1", "studio/an/2", "studio/bình/một%20hai"),
    *("talks/long-0000500", "talks/long-0001250", "talks/pod-0000250", "vox/chi/v1"),
}


def test_the_catalog_is_as_the_scan_leaves_it(home):
    rows = {row["utterance_id"]: row for row in Catalog(home / "catalog").read(UTTERANCES).to_pylist()}
    assert set(rows) == IDS
    assert (rows["calls/B-1"]["channel"], rows["calls/B-1"]["start_s"], rows["calls/B-1"]["duration_s"]) == (1, 0.5, 1)


@pytest.mark.parametrize("to", FORMS)
def test_every_form_leaves_with_its_audio(command, home, tmp_path, to):
    words = ("export", home / "catalog", tmp_path / "out", "--to", to, "--audio", "--format", "wav")
    rates = "3 sampling rates (8000, 16000, 22050 Hz): `--rate` makes them one"
    assert command(*words) == (0, f"{tmp_path / 'out'}: 10 utterances, 8 trials ({to}); {rates}\n", "")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    audios = {name for name in contents(tmp_path / "out") if name.startswith("audio/")}
    holds_audio = getattr(form(to), "HOLDS_AUDIO", False)
    assert audios == (set() if holds_audio else {f"audio/{one}.wav" for one in IDS})
    if to in READ_AGAIN:
        assert_read_again(to, tmp_path / "out")


def assert_read_again(to, out):
    """By our own reader."""
    key, name = READ_AGAIN[to]
    said = {split: Path(name.format(split)) for split in ("train", "test")} if "{}" in name else Path(name)
    settings = READERS[to].Settings(reader=to, name="again", root=out, **{key: said})
    rows = list(READERS[to].rows(out, settings))
    assert len(rows) == 10
    assert {row.speaker for row in rows} == {"calls/A", "calls/B", "studio/bình", "talks/chi", "talks/dũng"}
    assert all(audio.probe(out / row.path).damage is None for row in rows)


@pytest.mark.parametrize("to", FORMS)
def test_a_form_refers_to_the_corpora_or_says_that_it_needs_audio(command, home, tmp_path, to):
    code, out, said = command("export", home / "catalog", tmp_path / "out", "--to", to)
    if {"channel", "stretch"} <= set(form(to).CAN_HOLD) or getattr(form(to), "HOLDS_AUDIO", False):
        assert (code, said) == (0, "")
        assert not (tmp_path / "out" / "audio").exists()
        return
    assert (code, out) == (1, "")
    assert re.fullmatch(r"curate: [^\n]+; expected audio that is converted: `--audio`[^\n]*\n", said)
    assert not (tmp_path / "out").exists()


def test_forms_are_the_same_bytes_from_another_process(command, home, tmp_path):
    """Whose sets have another order."""
    script = (
        "import sys; from pathlib import Path; from curate.catalog import Catalog; from curate.export import FORMS\n"
        "from curate.export.sound import TELEPHONE; from curate.export.writing import export_benchmark\n"
        "for to in FORMS: export_benchmark(Catalog(Path(sys.argv[1])), to, Path(sys.argv[2], to), conversion=TELEPHONE)"
    )
    for to in FORMS:
        assert command("export", home / "catalog", tmp_path / "out" / to, "--to", to, "--telephone")[0] == 0
    (tmp_path / "out").rename(tmp_path / "first")
    words = [sys.executable, "-c", script, home / "catalog", tmp_path / "out"]
    subprocess.run(words, check=True, env={"PYTHONHASHSEED": "7"})
    assert contents(tmp_path / "out") == contents(tmp_path / "first")


# --------------------------------------------------------------------------------------------------------------- audio


@pytest.fixture(scope="module")
def exported(home):
    """With audio as it is where it can be, and 24 bits where it must be cut."""
    catalog, out = home / "catalog", home / "exported"
    words = [*("export", str(catalog), str(out)), "--to", "kaldi", "--audio"]
    get_command(cli.app)(words, standalone_mode=False)
    return out / "audio"


@pytest.mark.parametrize(
    ("one", "channel", "start", "num"),
    [("A-1", 0, 2_000, 6_000), ("A-2", 0, 8_000, 6_000), ("B-1", 1, 4_000, 8_000)],
)
def test_a_side_of_a_call_in_sphere_has_the_very_samples_of_its_stretch(exported, one, channel, start, num):
    samples, rate = soundfile.read(exported / "calls" / f"{one}.wav", dtype="int16", always_2d=True)
    assert rate == 8_000
    assert np.array_equal(samples, noise(16_000, 2)[start:][:num, channel : channel + 1])


@pytest.mark.parametrize(("one", "start", "num"), [("0000500", 8_000, 12_000), ("0001250", 20_000, 8_000)])
def test_a_stretch_of_a_flac_has_the_very_samples_of_it(exported, one, start, num):
    samples, rate = soundfile.read(exported / "talks" / f"long-{one}.wav", dtype="int16", always_2d=True)
    assert rate == 16_000
    assert np.array_equal(samples, noise(32_000)[start:][:num])


def test_a_stretch_of_an_m4a_is_what_is_decoded_there(exported, home):
    samples, rate = soundfile.read(exported / "talks" / "pod-0000250.wav", dtype="int16", always_2d=True)
    whole = audio.decode(home / "talks" / "pod.m4a")
    assert (rate, len(samples)) == (16_000, 8_000)
    assert np.array_equal(samples[:, 0], quantised(whole[4_000:12_000], 16)[0])
    assert abs(np.corrcoef(samples[:, 0], noise(32_000)[4_000:12_000, 0])[0, 1]) > 0.5  # AAC is not exact


@pytest.mark.parametrize("file", ["studio/an/1.wav", "studio/an/2.flac", "studio/bình/một hai.wav", "vox/chi/v1.m4a"])
def test_whole_files_are_those_of_the_corpus(exported, home, file):
    assert (exported / file.replace(" ", "%20")).read_bytes() == (home / file).read_bytes()


def test_whole_files_keep_24_bits_where_they_are_asked_for(command, home, tmp_path):
    words = ("--to", "kaldi", "--bits", 24, "--format", "flac")  # which says that audio is to be written
    assert command("export", home / "catalog", tmp_path / "out", *words)[0] == 0
    for file, num, rate in (("an/2", 22_050, 22_050), ("bình/một%20hai", 12_000, 16_000)):
        path = tmp_path / "out/audio/studio" / f"{file}.flac"
        assert soundfile.info(path).subtype == "PCM_24"
        samples, found = soundfile.read(path, dtype="int32", always_2d=True)
        assert found == rate
        assert np.array_equal(samples, noise(num, bits=24))


def test_a_telephone_export_is_all_8_khz_mono_16_bits(command, home, tmp_path):
    words = ("--to", "wespeaker", "--telephone", "--format", "flac")
    assert command("export", home / "catalog", tmp_path / "out", *words)[0] == 0
    headers = [soundfile.info(path) for path in (tmp_path / "out/audio").rglob("*.*")]
    assert len(headers) == 10
    assert {(one.samplerate, one.channels, one.subtype, one.format) for one in headers} == {
        (8_000, 1, "PCM_16", "FLAC")
    }


def test_a_rate_for_all_and_mono(command, home, tmp_path):
    words = ("--to", "nemo", "--rate", 16_000, "--mono", "--workers", 3)
    assert command("export", home / "catalog", tmp_path / "out", *words)[0] == 0
    files = [path for path in (tmp_path / "out/audio").rglob("*.*") if path.is_file()]
    assert {audio.probe(path)[1:3] for path in files} == {(16_000, 1)}
    kept = {str(path.relative_to(tmp_path / "out/audio")) for path in files if path.suffix == ".m4a"}
    assert kept == {"vox/chi/v1.m4a"}  # it is so already


def test_length_leaves_out_utterances_and_their_trials(command, home, tmp_path):
    words = ("--to", "kaldi", "--min-s", 0.6, "--max-s", 0.8)
    code, said, _ = command("export", home / "catalog", tmp_path / "out", *words)
    assert code == 0
    left = "6 utterances and 7 trials left out by length"
    rates = "2 sampling rates (8000, 16000 Hz): `--rate` makes them one"
    assert said == f"{tmp_path / 'out'}: 4 utterances, 1 trials (kaldi); {left}; {rates}\n"


# -------------------------------------------------------------------------------------------------------------- faults


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--to", "kaldy"), "form 'kaldy'; expected one of kaldi, lhotse, "),
        (("--to", "kaldi", "--rate", "7"), "rate 7; expected 1000 to 384000 Hz"),
        (("--to", "kaldi", "--bits", "3"), "bits 3; expected one of 16, 24"),
        (("--to", "kaldi", "--format", "ogg"), "format 'ogg'; expected one of wav, flac"),
        (("--to", "kaldi", "--telephone", "--format", "ogg"), "format 'ogg'; expected one of wav, flac"),
        (("--to", "kaldi", "--benchmark", "smal"), "catalog: no benchmark 'smal'; expected one of small"),
        (("--to", "kaldi", "--min-s", "60"), "catalog: none of 10 utterances of 'small' lasts 60.0 to inf seconds"),
        (("--to", "kaldi", "--max-s", "nan"), "lengths from 0.0 to nan s; expected the least first, from 0 on"),
        (("--to", "kaldi", "--min-s", "-1"), "lengths from -1.0 to inf s; expected the least first, from 0 on"),
        (("--to", "kaldi", "--min-s", "5", "--max-s", "2"), "lengths from 5.0 to 2.0 s; expected the least first"),
    ],
)
def test_what_cannot_be_is_one_line_and_writes_nothing(command, home, tmp_path, words, said):
    code, out, error = command("export", home / "catalog", tmp_path / "out", *words)
    assert (code, out) == (1, "")
    assert re.fullmatch(rf"curate: [^\n]*{re.escape(said)}[^\n]*\n", error)
    assert "expected" in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--to",),
        ("--to", "kaldi", "--rate", "fast"),
        ("--to", "kaldi", "--workers", "0"),
        ("--to", "kaldi", "--telephone", "--rate", "16000"),
        ("--to", "kaldi", "--telephone", "--bits", "16"),
        ("--to", "kaldi", "--min", "1"),
    ],
)
def test_a_slip_in_the_words_is_told_and_writes_nothing(command, home, tmp_path, words):
    code, out, error = command("export", home / "catalog", tmp_path / "out", *words)
    assert (code, out) == (2, "")
    assert error.splitlines()[-1].startswith("Error: ")
    assert "Traceback" not in error
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_is_taken_is_left_as_it_is(command, home, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years")
    code, out, error = command("export", home / "catalog", tmp_path / "out", "--to", "kaldi", "--audio")
    assert (code, out) == (1, "")
    assert error == f"curate: {tmp_path / 'out'} is there already; expected a folder that is not, or is empty\n"
    assert contents(tmp_path) == {"out/thesis.tex": b"years"}


@pytest.mark.parametrize("place", ["nowhere", "empty", "file"])
def test_what_is_no_catalog_is_one_line(command, tmp_path, place):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    code, _, error = command("export", tmp_path / place, tmp_path / "out", "--to", "kaldi")
    assert (code, error.count("\n")) == (1, 1)
    assert error.startswith(
        f"curate: {tmp_path / place}: no splits; expected a benchmark that `curate run` or `curate build` made"
    )
    assert not (tmp_path / "nowhere").exists()


def test_a_table_that_is_no_parquet_is_one_line(command, tmp_path):
    path = Catalog(tmp_path).path(UTTERANCES, "b")
    say(tmp_path, VERSION)
    for table in (UTTERANCES, SPLITS):
        Catalog(tmp_path).path(table, "b").parent.mkdir()
        Catalog(tmp_path).path(table, "b").write_text("not Parquet")
    code, _, error = command("export", tmp_path, tmp_path.with_name("out"), "--to", "kaldi")
    assert (code, error.count("\n")) == (1, 1)
    assert f"{path}: " in error


def test_audio_that_has_moved_is_one_line(command, home, tmp_path):
    where = [{"corpus": name, "reader": "folder", "root": "/moved"} for name in ("calls", "studio", "talks", "vox")]
    moved = Catalog(tmp_path / "catalog")
    say(moved.root, VERSION)
    for table in (UTTERANCES, DECISIONS, SPLITS, TRIALS):
        shutil.copytree(home / "catalog" / table.name, moved.root / table.name)
    moved.publish(CORPORA, rows_of(CORPORA, where), fingerprint="")
    code, _, error = command("export", moved.root, tmp_path / "out", "--to", "kaldi")
    assert code == 1
    assert error.startswith("curate: /moved/call 7.sph is not there; expected the audio of corpus 'calls' where the ")
    assert error.count("\n") == 1


# --------------------------------------------------------------------------------------------------------------- words


@pytest.mark.parametrize("verb", ["export", "corpora"])
def test_help_says_what_each_word_is_for(command, verb):
    code, told, _ = command(verb, "--help")
    assert code == 0
    assert f"Example: curate {verb}" in told
    plain = " ".join(told.split())
    for parameter in get_command(cli.app).commands[verb].params:
        assert parameter.help
        assert " ".join(parameter.help.split()) in plain
        assert all(word in told for word in parameter.opts if word.startswith("--"))
    if verb == "export":
        assert ", ".join(FORMS) in plain


def test_corpora_tells_of_every_reader(command):
    code, told, error = command("corpora")
    assert (code, error) == (0, "")
    assert [line.split()[0] for line in told.splitlines()[2:-1]] == list(READERS)
    assert told.splitlines()[-1] == f"({len(READERS)} rows)"


def test_corpora_tells_all_about_one(command):
    code, told, _ = command("corpora", "librispeech")
    assert code == 0
    assert told.startswith(READERS["librispeech"].__doc__.splitlines()[0])
    code, _, error = command("corpora", "librispech")
    assert (code, error.count("\n")) == (1, 1)
    assert error.startswith("curate: reader 'librispech'; expected librispeech")


def test_corpora_tells_what_a_catalog_was_told(command, home):
    code, told, error = command("corpora", "-c", home / "catalog")
    assert (code, error) == (0, "")
    rows = {line.split()[0]: line.split()[1:] for line in told.splitlines()[2:-1]}
    assert {name: row[:2] for name, row in rows.items()} == {
        "calls": ["kaldi", "3"],
        "studio": ["folder", "3"],
        "talks": ["manifest", "3"],
        "vox": ["folder", "1"],
    }
    assert "100 %" in " ".join(rows["calls"])  # sex
    assert "67 %" in " ".join(rows["talks"])  # transcripts


def test_corpora_holds_archives_against_their_checksums(command, tmp_path):
    (tmp_path / "test-other.tar.gz").write_bytes(b"half of it")
    code, out, error = command("corpora", "--archives", tmp_path)
    assert (code, out) == (1, "")
    assert re.fullmatch(
        r"curate: \S+test-other\.tar\.gz: md5 [0-9a-f]{32}; expected [0-9a-f]{32}, as its publisher says[^\n]*\n", error
    )
    assert command("corpora", "--archives", tmp_path / "nowhere")[0] == 1


@pytest.mark.parametrize(
    "words", [("-c", ".", "--archives", "."), ("folder", "-c", "."), ("folder", "--archives", ".")]
)
def test_corpora_tells_one_thing_at_a_time(command, words):
    code, out, error = command("corpora", *words)
    assert (code, out) == (2, "")
    assert "expected one of them" in error


def test_corpora_of_no_catalog_is_one_line(command, tmp_path):
    code, _, error = command("corpora", "-c", tmp_path / "nowhere")
    assert (code, error.count("\n")) == (1, 1)
    assert "no catalog is there; expected a catalog" in error


@pytest.mark.parametrize("verb", ["export", "corpora"])
def test_what_only_reads_imports_neither_torch_nor_prefect(home, tmp_path, verb):
    words = [verb]
    if verb == "export":
        words += [str(home / "catalog"), str(tmp_path / "out"), "--to", "huggingface", "--telephone"]
    script = (
        "import sys; from typer.main import get_command; from flows.cli import app\n"
        f"get_command(app)({words!r}, standalone_mode=False)\n"
        "print(sorted({'torch', 'torchaudio', 'prefect', 'fastapi'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_command_itself_ends_with_a_line_and_a_code(curate, script, home, tmp_path):
    """In a process of its own, as a user gives it."""
    done = script("export", home / "catalog", tmp_path / "out", "--to", "voxceleb", "--telephone")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{tmp_path / 'out'}: 10 utterances, 8 trials (voxceleb)\n"
    refused = curate("export", home / "catalog", tmp_path / "out", "--to", "voxceleb")
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (1, "", 1)
    assert refused.stderr.startswith("curate: ")
