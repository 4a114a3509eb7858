"""Kaldi data directories as written: to the letter, by the rules of Kaldi's own checker, by lhotse, and read again."""

import os
import shlex
import subprocess
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from curate.corpora import READERS
from curate.errors import ExportError
from curate.export import kaldi
from curate.export.outgoing import Outgoing, Trial


def write(export):
    export.out.mkdir()
    kaldi.write(export.out, export)
    return export.out


def read(root, folder):
    reader = READERS["kaldi"]
    settings = reader.Settings(reader="kaldi", name="again", root=root, manifest=folder)
    return list(reader.rows(root, settings)), list(reader.published_trials(root, settings))


def test_a_small_export_is_written_to_the_letter(export, tmp_path):
    out, audio = write(export), tmp_path / "audio"
    x1, x2 = "studio/an!studio/an/1/x", "studio/an!studio/an/2/x"
    y = "studio/an-b!studio/an-b/y%20z"
    train = {
        "wav.scp": f"{x1} {audio}/studio/an/1/x.wav\n{x2} flac -c -d -s {audio}/studio/an/2/x.flac |\n"
        f"{y} flac -c -d -s '{audio}/studio/an-b/y z.flac' |\n",
        "utt2spk": f"{x1} studio/an\n{x2} studio/an\n{y} studio/an-b\n",
        "spk2utt": f"studio/an {x1} {x2}\nstudio/an-b {y}\n",
        "utt2dur": f"{x1} 1\n{x2} 1.5\n{y} 0.8\n",
        "reco2dur": f"{x1} 1\n{x2} 1.5\n{y} 0.8\n",
        "spk2gender.known": "studio/an f\n",
        "text": f'{x1} xin chào  các bạn\n{x2} nói "gì", \\ hả?\n{y}\n',
        "utt2lang.known": f"{x1} vi\n{x2} vi\n",
        "utt2age": f"{x1} 34\n{x2} 30-39\n",
        "utt2session": f"{x1} studio/an/1\n{x2} studio/an/2\n",
        "utt2accent": f"{x1} northern\n{x2} northern\n",
        "utt2nationality": f"{x1} Việt Nam\n{x2} Việt Nam\n",
        "utt2licence": f"{x1} CC-BY-4.0\n{x2} CC-BY-4.0\n",
    }
    assert {path.name: path.read_text(encoding="utf-8") for path in (out / "train").iterdir()} == train
    b = "calls/7b!calls/call%207-c1-0000000"
    a1, a2 = "studio/an!calls/call%207-c0-0000500", "studio/an!calls/call%207-c0-0001750"
    d = "studio/dũng!studio/dũng/long-0000250"
    test = {
        "wav.scp": f"{b} sox '{audio}/calls/call 7.wav' -t wav - remix 2 |\n"
        f"{a1} sox '{audio}/calls/call 7.wav' -t wav - remix 1 |\n{d} {audio}/studio/dũng/long.wav\n",
        "segments": f"{b} {b} 0 1.25\n{a1} {a1} 0.5 1.75\n{a2} {a1} 1.75 2.75\n{d} {d} 0.25 0.75\n",
        "reco2dur": f"{b} 3\n{a1} 3\n{d} 2\n",
        "spk2gender": "calls/7b m\nstudio/an f\nstudio/dũng m\n",
        "trials": f"{a1} {a2} target\n{a1} {b} nontarget\n{b} {d} nontarget\n",
        "utt2age": f"{d} 60-120\n",
        "text": f"{b}\n{a1} a\n{a2} a\n{d}\n",
    }
    assert {name: (out / "test" / name).read_text(encoding="utf-8") for name in test} == test


def test_an_export_read_again_is_what_was_exported(export, tmp_path):
    out = write(export)
    rows, trials = read(tmp_path, out.relative_to(tmp_path))
    given = {one.utterance: one for split in export.splits for one in export.utterances(split)}
    assert {row.utterance for row in rows} == set(given)
    for row in rows:
        one = given[row.utterance]
        assert (row.speaker, row.corpus_split, tmp_path / row.path) == (one.speaker, one.split, one.file)
        assert (row.start_s or 0, row.channel) == (one.start_s, one.channel)
        assert (row.duration_s or one.file_duration_s) == one.duration_s
        for field in ("sex", "age_years", "session", "accent", "nationality", "language", "transcript", "licence"):
            assert getattr(row, field) == getattr(one, field), field
    assert [(one.enrol, one.test, one.is_target) for one in trials] == [
        (one.enrol, one.test, one.is_target) for one in export.trials("test")
    ]


def test_the_same_export_is_the_same_bytes(export, tmp_path):
    first = {path.name: path.read_bytes() for path in write(export).rglob("*") if path.is_file()}
    again = write(replace(export, out=tmp_path / "again"))
    assert {path.name: path.read_bytes() for path in again.rglob("*") if path.is_file()} == first


def faults(folder, *, needs_text=False):
    """The rules of `utils/validate_data_dir.sh --no-feats`, in its order of looking; bytes, as under LC_ALL=C."""

    def table(name):
        text = (folder / name).read_bytes()
        assert text.endswith(b"\n"), name
        return [line.split(b" ") for line in text.removesuffix(b"\n").split(b"\n")]

    def require_order(name, *options):
        command = ["sort", "-c", *options, str(folder / name)]
        done = subprocess.run(command, env=os.environ | {"LC_ALL": "C"}, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def require_keys(name, keys):
        require_order(name)
        assert [line[0] for line in table(name)] == keys, name

    is_there = {path.name for path in folder.iterdir()}
    pairs = table("utt2spk")
    assert {len(pair) for pair in pairs} == {2}
    require_order("utt2spk")
    require_order("utt2spk", "-k2")
    utterances, speakers = [key for key, _ in pairs], sorted({speaker for _, speaker in pairs})
    assert all(a < b for a, b in pairwise(utterances))
    require_keys("spk2utt", speakers)
    assert [[key, line[0]] for line in table("spk2utt") for key in line[1:]] == pairs
    recordings = utterances
    if "segments" in is_there:
        require_keys("segments", utterances)
        for line in table("segments"):
            assert len(line) == 4
            assert float(line[3]) > float(line[2])
        recordings = sorted({line[1] for line in table("segments")})
    require_keys("wav.scp", recordings)
    assert not any(line[1].startswith(b"~") for line in table("wav.scp"))
    if needs_text or "text" in is_there:
        require_keys("text", utterances)
        assert not {b"<s>", b"</s>", b"#0"} & {word for line in table("text") for word in line}
        text = (folder / "text").read_text(encoding="utf-8")
        assert not any(one.isspace() and one not in " \n" for one in text)
    if "spk2gender" in is_there:
        require_keys("spk2gender", speakers)
        assert {tuple(line[1:]) for line in table("spk2gender")} <= {(b"m",), (b"f",)}
    if "utt2lang" in is_there:
        require_keys("utt2lang", utterances)
    for name, keys in (("utt2dur", utterances), ("reco2dur", recordings)):
        require_keys(name, keys)
        assert all(len(line) == 2 and float(line[1]) > 0 for line in table(name))
    return []


def test_what_is_written_passes_the_rules_of_kaldis_checker(export):
    out = write(export)
    assert faults(out / "train") == faults(out / "test") == []


def test_where_everything_is_known_kaldi_has_all_its_files(export):
    def told(split):
        return (
            replace(one, sex="male", language="vi", transcript="a\u00a0b\tc\nd") for one in export.utterances(split)
        )

    out = write(replace(export, utterances=told))
    for split in export.splits:
        assert faults(out / split, needs_text=True) == []
        assert {"text", "utt2lang", "spk2gender"} <= {path.name for path in (out / split).iterdir()}
    assert "!calls/call%207-c0-0000500 a b c d\n" in (out / "test/text").read_text(encoding="utf-8")


def test_words_that_kaldi_keeps_to_itself_stay_out_of_its_text(export):
    def told(split):
        return (replace(one, transcript="ừ <s> à") for one in export.utterances(split))

    out = write(replace(export, utterances=told))
    assert faults(out / "train") == []
    assert not (out / "train/text").exists()
    assert (out / "train/text.known").read_text(encoding="utf-8").count(" ừ <s> à\n") == 3


def test_a_split_of_nobody_makes_no_directory(export):
    out = write(replace(export, splits=("dev", "train"), trials=lambda _: iter(())))
    assert [path.name for path in out.iterdir()] == ["train"]


NASTY = st.sampled_from(
    ["an", "an-b", "an+x", "an!", "an x", "an\u00a0b", "an#0", "<s>", "an=20", "ẵn", "ấ", "\U0001f600", "ﬁ", "~"]
)
NAMES = NASTY | st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=4)


@pytest.fixture(scope="module")
def turns(tmp_path_factory):
    """A new folder for each example."""
    numbers = iter(range(10**6))
    folder = tmp_path_factory.mktemp("nasty")
    return lambda: folder / str(next(numbers))


@hypothesis_settings(max_examples=40, deadline=None)
@given(names=st.sets(st.tuples(NAMES, NAMES), min_size=1, max_size=8))
def test_any_names_make_directories_in_order_and_come_back(turns, names):
    root = turns()
    (root / "out").mkdir(parents=True)
    ids = {f"c/{number}/{utterance}".split()[0]: speaker for number, (speaker, utterance) in enumerate(sorted(names))}
    every = [
        Outgoing(
            utterance=utterance,
            speaker=speaker,
            label=speaker,
            corpus="c",
            split="train",
            file=root / "x.wav",
            file_rate_hz=16_000,
            file_num_samples=16_000,
            file_num_channels=1,
            start_s=0.0,
            duration_s=1.0,
            transcript="a",
        )
        for utterance, speaker in sorted(ids.items())
    ]
    kaldi._write_directory(root / "out/train", lambda: iter(every))
    assert faults(root / "out/train", needs_text=True) == []
    rows, _ = read(root, Path("out"))
    assert {row.utterance: row.speaker for row in rows} == ids


def test_lhotse_takes_an_export_of_plain_files(export, sound_files):
    from lhotse import validate
    from lhotse.kaldi import load_kaldi_data_dir

    plain = [replace(one, transcript="a") for one in sound_files(export)]
    cut = [plain[0], replace(plain[1], start_s=0.25, duration_s=0.5)]
    for name, every in (("plain", plain), ("cut", cut)):
        given = replace(export, out=export.out / name, utterances=lambda _, every=every: iter(every), splits=("train",))
        given.out.mkdir(parents=True)
        kaldi.write(given.out, replace(given, trials=lambda _: iter(())))
        recordings, supervisions, _ = load_kaldi_data_dir(given.out / "train", sampling_rate=16_000)
        validate(recordings, read_data=True)
        validate(supervisions)
        assert {one.speaker for one in supervisions} == {one.speaker for one in every}
        assert sorted((one.start, one.duration) for one in supervisions) == sorted(
            (one.start_s, one.duration_s) for one in every
        )


@pytest.fixture
def sound_files(tmp_path):
    """The utterances of train as whole WAVs at one rate."""
    import numpy as np
    import soundfile

    def make(export):
        every = []
        for number, one in enumerate(export.utterances("train")):
            file = tmp_path / "plain" / f"{number}.wav"
            file.parent.mkdir(exist_ok=True)
            soundfile.write(file, np.zeros(16_000), 16_000)
            every.append(replace(one, file=file, file_rate_hz=16_000, file_num_samples=16_000, duration_s=1.0))
        return every

    return make


@pytest.mark.parametrize(
    ("file", "channels", "channel", "said"),
    [
        ("/a b/x.wav", 1, None, "/a b/x.wav"),
        ("/a/x.WAV", 2, None, "sox /a/x.WAV -t wav - remix - |"),
        ("/a/it's.flac", 1, None, "flac -c -d -s '/a/it'\"'\"'s.flac' |"),
        ("/a/x.flac", 2, 1, "sox /a/x.flac -t wav - remix 2 |"),
        ("/a/x.sph", 2, 1, "sph2pipe -f wav -p -c 2 /a/x.sph |"),
        ("/a/x.sph", 1, None, "sph2pipe -f wav -p -c 1 /a/x.sph |"),
        ("/a/x.sph", 2, None, "sox /a/x.sph -t wav - remix - |"),
        ("/a/x.mp3", 2, None, "ffmpeg -v error -nostdin -i /a/x.mp3 -ac 1 -f wav -acodec pcm_s16le - |"),
        (
            "/a/x.ogg",
            2,
            1,
            "ffmpeg -v error -nostdin -i /a/x.ogg -af 'pan=mono|c0=c1' -f wav -acodec pcm_s16le - |",
        ),
    ],
)
def test_each_kind_of_file_is_named_as_kaldi_can_read_it(export, file, channels, channel, said):
    one = replace(next(export.utterances("train")), file=Path(file), file_num_channels=channels, channel=channel)
    assert kaldi.sound_of(one) == said
    if said.endswith("|"):
        assert file in shlex.split(said)


def test_a_speaker_of_two_sexes_has_none(export):
    def both(split):
        for number, one in enumerate(export.utterances(split)):
            yield replace(one, speaker="p", sex="male" if number else "female")

    out = write(replace(export, utterances=both))
    assert not list(out.glob("*/spk2gender*"))


def test_a_path_of_two_lines_is_an_error(export):
    def broken(split):
        return (replace(one, file=Path("/a/x\ny.wav")) for one in export.utterances(split))

    with pytest.raises(ExportError, match=r"'/a/x\\ny\.wav': a name of two lines; expected another .* `--audio`$"):
        write(replace(export, utterances=broken))


def test_a_trial_across_splits_is_an_error(export):
    across = Trial(enrol="studio/an/1/x", test="calls/call%207-c0-0000500", is_target=True)
    with pytest.raises(ExportError, match=r"x in train and calls/call%207-c0-0000500 in test; expected both in one"):
        write(replace(export, trials=lambda _: iter([across])))
