"""Lhotse manifests: channels of recordings, cuts, any order of ids, and lines that make no utterance."""

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curate.corpora import READERS
from curate.corpora.described import Described
from curate.corpora.lhotse import _Recordings
from curate.errors import CorpusError

DAMAGE = [b"", b"\xff", b"\0", b'"', b"}", b"\r\n", b"9e999", b"..", b"/", b"\xef\xbb\xbf", b"\\ud800", b"\\n", b"{}"]
RECORDING = {
    "id": "r",
    "sources": [{"type": "file", "channels": [0, 1, 2], "source": "a.wav"}],
    "sampling_rate": 16_000,
    "num_samples": 1_600,
    "duration": 0.1,
}
SUPERVISION = {"id": "u", "recording_id": "r", "start": 0.0, "duration": 0.1, "channel": 0, "speaker": "an"}
CUT = {
    "id": "c",
    "start": 0.02,
    "duration": 0.05,
    "channel": 0,
    "recording": RECORDING,
    "supervisions": [SUPERVISION],
    "type": "MonoCut",
}
BOTH = {"recordings": Path("r.jsonl"), "supervisions": Path("s.jsonl")}
CUTS = {"recordings": None, "supervisions": None, "cuts": Path("c.jsonl")}


def read(section, root, **more):
    return list(READERS["lhotse"].rows(root, section("lhotse", root, **more)))


def written(root, **files):
    """`r.jsonl`, `s.jsonl` and `c.jsonl` of these rows."""
    for name, rows in files.items():
        (root / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def refusal(section, root, **more):
    with pytest.raises(CorpusError) as caught:
        read(section, root, **more)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(f"{root}/", "")


@pytest.fixture
def small(corpus_of):
    return corpus_of("lhotse")


def test_the_small_corpus_is_read_supervision_by_supervision(small, section):
    assert read(section, small) == [
        Described(
            path="wav/call.wav",
            speaker="an",
            name="call-a",
            start_s=0.0,
            duration_s=0.04,
            channel=0,
            corpus_split="train",
        ),
        Described(
            path="wav/call.wav",
            speaker="ba",
            name="call-b",
            start_s=0.05,
            duration_s=0.05,
            channel=1,
            corpus_split="train",
        ),
        Described(path="wav/pair-b.wav", speaker="ba", name="pair-b", corpus_split="train"),
        Described(
            path="wav/solo.flac",
            speaker="Dũng",
            name="solo",
            session="s1",
            sex="male",
            age_years=(34, 34),
            age_source="supervisions.jsonl.gz",
            transcript="Nói  gì",
            corpus_split="dev",
        ),
    ]


@pytest.mark.parametrize(("channel", "told"), [(0, 0), ([2], 2), ([0, 1, 2], None), ([2, 0, 1], None), (..., 0)])
def test_a_channel_is_that_of_the_file(tmp_path, section, channel, told):
    supervision = {key: it for key, it in (SUPERVISION | {"channel": channel}).items() if it is not ...}
    written(tmp_path, r=[RECORDING], s=[supervision])
    (found,) = read(section, tmp_path, **BOTH)
    assert (found.channel, found.start_s) == (told, None)


def test_channels_are_counted_within_the_file_that_holds_them(tmp_path, section):
    sources = [{"type": "file", "channels": held, "source": f"{held[0]}.wav"} for held in ([0], [1], [2, 3])]
    written(
        tmp_path, r=[RECORDING | {"sources": sources}], s=[SUPERVISION | {"channel": n, "id": str(n)} for n in (1, 3)]
    )
    assert [(one.path, one.channel) for one in read(section, tmp_path, **BOTH)] == [("1.wav", None), ("2.wav", 1)]


@pytest.mark.parametrize(
    ("start", "duration", "told"),
    [(0, 0.1, (None, None)), (0, 0.09998, (None, None)), (0, 0.0999, (0.0, 0.0999)), (0.01, 0.09, (0.01, 0.09))],
)
def test_a_supervision_of_all_samples_is_no_stretch(tmp_path, section, sound, start, duration, told):
    sound(tmp_path, "a.wav")
    written(tmp_path, r=[RECORDING], s=[SUPERVISION | {"start": start, "duration": duration}])
    (found,) = read(section, tmp_path, **BOTH)
    assert (found.start_s, found.duration_s) == told


@pytest.mark.parametrize("wrong", [{"num_samples": 800}, {"duration": 0.05}, {"sampling_rate": 32_000}], ids=str)
def test_the_header_of_a_file_goes_before_what_its_recording_says(tmp_path, section, sound, wrong):
    """A stretch never becomes the whole file."""
    sound(tmp_path, "a.wav")
    half, whole = (SUPERVISION | {"duration": duration} for duration in (0.05, 0.1))
    written(tmp_path, r=[RECORDING | wrong], s=[half, whole])
    assert [one.duration_s for one in read(section, tmp_path, **BOTH)] == [0.05, None]


def test_a_file_that_is_not_there_is_described_so_that_it_is_missed(tmp_path, section):
    written(tmp_path, r=[RECORDING], s=[SUPERVISION])
    (found,) = read(section, tmp_path, **BOTH)
    assert (found.path, found.is_stretch) == ("a.wav", False)


def test_sound_behind_a_link_that_leads_out_is_not_opened(tmp_path, section, sound, monkeypatch):
    root = tmp_path / "root"
    root.mkdir()
    sound(tmp_path, "out/a.wav")
    (root / "a.wav").symlink_to(tmp_path / "out/a.wav")
    written(root, r=[RECORDING], s=[SUPERVISION])
    assert len(read(section, root, **BOTH, links="anywhere")) == 1
    monkeypatch.setattr("curate.corpora.listed.sound_of", None)
    assert "s.jsonl:1: a.wav leads out of " in refusal(section, root, **BOTH)


def test_a_manifest_without_rows_is_named(tmp_path, section):
    written(tmp_path, r=[RECORDING], s=[])
    assert refusal(section, tmp_path, **BOTH) == "s.jsonl: no rows; expected at least one utterance"


@pytest.mark.parametrize("order", ["0123", "3210", "0213", "1", "0011", "0101"])
def test_recordings_are_found_whatever_the_order(tmp_path, order):
    rows = [RECORDING | {"id": str(n)} for n in range(4)]
    written(tmp_path, r=rows)
    recordings = _Recordings(tmp_path / "r.jsonl")
    assert [recordings.find(name).id for name in order] == list(order)


def test_recordings_in_the_order_of_the_supervisions_are_not_held(tmp_path):
    written(tmp_path, r=[RECORDING | {"id": str(n)} for n in range(100)])
    recordings = _Recordings(tmp_path / "r.jsonl")
    for n in range(0, 100, 3):
        recordings.find(str(n))
    assert recordings._held is None


def test_one_file_of_recordings_serves_every_split(small, section):
    supervisions = {"a": Path("supervisions.jsonl.gz"), "b": Path("supervisions.jsonl.gz")}
    found = read(section, small, supervisions=supervisions)
    assert [one.corpus_split for one in found] == ["a"] * 3 + ["dev"] + ["b"] * 3 + ["dev"]


def test_splits_have_recordings_of_their_own(tmp_path, section):
    written(tmp_path, r=[RECORDING], s=[SUPERVISION])
    both = {key: {"a": path} for key, path in BOTH.items()}
    assert [one.corpus_split for one in read(section, tmp_path, **both)] == ["a"]


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"recordings": None}, "expected `recordings` and `supervisions`, or `cuts`"),
        ({"recordings": None, "supervisions": None}, "expected `recordings` and `supervisions`, or `cuts`"),
        ({"cuts": Path("c")}, "expected `recordings` and `supervisions`, or `cuts`"),
        ({"recordings": {"a": Path("r")}}, "recordings are of a; expected `supervisions` of the same"),
        ({"min_duration_s": 90.0}, "min_duration_s 90.0 must be less"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(tmp_path, section, keys, told):
    with pytest.raises(ValueError, match=told):
        section("lhotse", tmp_path, **BOTH | keys)


def test_cuts_hold_all_that_is_needed(tmp_path, section):
    """A supervision counts from the start of its cut; what of it lies outside is not of the cut."""
    times = [(0.0, 0.05), (0.01, 0.02), (-0.01, 0.02), (0.04, 0.05)]
    supervisions = [SUPERVISION | {"id": str(n), "start": s, "duration": d} for n, (s, d) in enumerate(times)]
    custom = {"custom": {"session": "s"}}
    written(tmp_path, c=[CUT | custom | {"supervisions": supervisions}])
    found = read(section, tmp_path, **CUTS)
    assert [one.start_s for one in found] == pytest.approx([0.02, 0.03, 0.02, 0.06])
    assert [one.duration_s for one in found] == pytest.approx([0.05, 0.02, 0.01, 0.01])
    assert {(one.session, one.path, one.channel) for one in found} == {("s", "a.wav", 0)}


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"type": "MixedCut"}, "c.jsonl:1: a cut of type 'MixedCut'; expected MonoCut or MultiCut"),
        ({"type": None}, "c.jsonl:1: a cut of type 'None'; expected"),
        ({"supervisions": []}, "c.jsonl:1: a cut without supervisions; expected at least one"),
        ({"supervisions": ["x"]}, "c.jsonl:1: a cut without supervisions; expected at least one"),
        ({"recording": None}, "c.jsonl:1: no `id`; expected one in every row"),
        ({"recording": "x"}, "c.jsonl:1: `recording` is a str; expected an object"),
        ({"start": None}, "c.jsonl:1: no `start` or `duration`; expected both"),
    ],
)
def test_a_cut_that_makes_no_utterance_is_refused_by_file_and_line(tmp_path, section, keys, told):
    written(tmp_path, c=[CUT | keys])
    assert refusal(section, tmp_path, **CUTS).startswith(told)


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"speaker": None}, "no `speaker`; expected one in every row"),
        ({"id": None}, "no `id`; expected"),
        ({"recording_id": "x"}, "recording 'x' is not in r.jsonl; expected a line of it there"),
        ({"duration": None}, "no `start` or `duration`; expected both, in seconds"),
        ({"duration": -1}, "a.wav: duration_s -1.0; expected more than 0 seconds"),
        ({"start": "NaN"}, "`start` 'NaN'; expected a finite number"),
        ({"channel": "0"}, "`channel` '0'; expected a number from 0, or a list of such"),
        ({"channel": True}, "`channel` 'True'; expected"),
        ({"channel": []}, "`channel` '[]'; expected"),
        ({"channel": [0, 1]}, "channels [0, 1] of [0, 1, 2] of 'r'; expected one, or all"),
        ({"channel": 3}, "channels [3] of 'r'; expected channels of one of its files"),
        ({"channel": [2, 3]}, "channels [2, 3] of 'r'; expected channels of one of its files"),
        ({"custom": []}, None),
        ({"custom": [1]}, "`custom` is a list; expected an object"),
        ({"custom": {"age": "old"}}, "age 'old'; expected years (34)"),
    ],
)
def test_a_supervision_that_makes_no_utterance_is_refused_by_file_and_line(tmp_path, section, keys, told):
    written(tmp_path, r=[RECORDING], s=[SUPERVISION | keys])
    if told is None:
        assert len(read(section, tmp_path, **BOTH)) == 1
    else:
        assert refusal(section, tmp_path, **BOTH).startswith(f"s.jsonl:1: {told}")


def _source(**keys):
    return {"sources": [{"type": "file", "channels": [0], "source": "a.wav"} | keys]}


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        (
            _source(type="command", source="rm -rf /"),
            "r.jsonl:1: recording 'r' has a source of type 'command'; expected",
        ),
        (
            _source(type="url", source="https://x"),
            "path 'https://x' is an address; expected a file below",
        ),
        (_source(type="memory"), "r.jsonl:1: recording 'r' has a source of type 'memory'; expected `file`"),
        ({"sources": ["x"]}, "r.jsonl:1: recording 'r' has a source of type 'x'; expected `file`"),
        ({"sources": {}}, "r.jsonl:1: recording 'r' has no `sources`; expected the file that holds it"),
        (_source(channels=[-1]), "r.jsonl:1: `channels` '[-1]'; expected a number from 0"),
        (_source(source=None), "r.jsonl:1: no `source`; expected one"),
        (_source(source="../a.wav"), "path '../a.wav' leaves"),
        (_source(source="https://x/a.wav"), "path 'https://x/a.wav' is an address"),
        ({"transforms": [{"name": "Speed"}]}, "r.jsonl:1: recording 'r' has `transforms`; expected audio as it lies"),
        ({"id": None}, "r.jsonl:1: no `id`; expected one"),
    ],
)
def test_a_recording_that_is_no_file_is_refused_by_file_and_line(tmp_path, section, keys, told):
    written(tmp_path, r=[RECORDING | keys], s=[SUPERVISION])
    assert refusal(section, tmp_path, **BOTH).removeprefix("s.jsonl:1: ").startswith(told)


def test_a_recording_that_is_told_twice_is_refused(tmp_path, section):
    written(tmp_path, r=[RECORDING, RECORDING], s=[SUPERVISION | {"recording_id": "other"}])
    assert refusal(section, tmp_path, **BOTH) == "s.jsonl:1: recording 'r' twice in r.jsonl; expected one line an id"


def test_a_path_of_where_the_root_was_is_one_of_the_root(tmp_path, section):
    written(tmp_path, r=[RECORDING | _source(source="/old/d/a.wav")], s=[SUPERVISION])
    (found,) = read(section, tmp_path, **BOTH, moved_from="/old")
    assert found.path == "d/a.wav"


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    name=st.sampled_from(["recordings", "supervisions"]),
    at=st.integers(0, 600),
    cut=st.integers(0, 3),
    put=st.sampled_from(DAMAGE),
    zipped=st.booleans(),
)
def test_damaged_manifests_give_rows_below_the_root_or_one_line_of_error(small, section, name, at, cut, put, zipped):
    whole = (small / f"{name}.jsonl.gz").read_bytes()
    whole = whole if zipped else gzip.decompress(whole)
    (small / "damaged").write_bytes(whole[:at] + put + whole[at + cut :])
    found, refused = [], ""
    try:
        found = read(section, small, **{name: Path("damaged")})
    except CorpusError as error:
        refused = str(error)
    assert len(refused.splitlines()) <= (not found)
    assert all((small / one.path).resolve().is_relative_to(small.resolve()) for one in found)
