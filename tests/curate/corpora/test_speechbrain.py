"""SpeechBrain manifests: samples to seconds, placeholders, both CSV and JSON, and entries that make no utterance."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curate.corpora import READERS
from curate.corpora.described import Described
from curate.errors import CorpusError

DAMAGE = [b"", b"\xff", b"\0", b'"', b"}", b"\r\n", b"\t", b";", b",", b"$", b"..", b"/", b"\xef\xbb\xbf", b"{}", b"[["]
HEAD = "ID,duration,wav,start,stop,spk_id\n"


def read(section, root, **more):
    return list(READERS["speechbrain"].rows(root, section("speechbrain", root, **more)))


def refusal(section, root, content, name="m.csv"):
    (root / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(CorpusError) as caught:
        read(section, root, manifest=Path(name), replacements={})
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{root}/")


@pytest.fixture
def small(corpus_of):
    return corpus_of("speechbrain")


def test_the_small_corpus_is_read_entry_by_entry(small, section):
    an, split = {"path": "wav/an/1/y.wav", "speaker": "an", "duration_s": 0.05}, {"corpus_split": "train"}
    assert read(section, small) == [
        Described(path="wav/an/1/x.wav", speaker="an", name="an--1--x", **split),
        Described(**an, name="an--1--y_0.0_0.05", start_s=0.0, **split),
        Described(**an, name="an--1--y_0.05_0.1", start_s=0.05, **split),
        Described(path="wav/9-1.flac", speaker="9", name="9-1", transcript='HE SAID,  "TWO" $5', corpus_split="dev"),
        Described(
            path="wav/ba-1.wav", speaker="ba", name="ba-1", sex="female", transcript="a {b}", corpus_split="test"
        ),
        Described(
            path="wav/an/1/y.wav", speaker="ba", name="ba-2", start_s=0.025, duration_s=0.025, corpus_split="test"
        ),
    ]


@pytest.mark.parametrize(
    ("start", "stop", "told"),
    [
        ("0", "2205", (None, None)),
        ("", "", (None, None)),
        ("0.0", "9999", (None, None)),
        ("0", "0", (None, None)),  # to SpeechBrain the end
        ("0", "441", (0.0, 0.02)),
        ("441", "882", (0.02, 0.02)),
        ("441", "441", (0.02, None)),
        ("441", "", (0.02, None)),
    ],
)
def test_samples_are_seconds_at_the_rate_of_the_file_whatever_duration_says(
    tmp_path, section, sound, start, stop, told
):
    sound(tmp_path, "a.wav", rate=22_050)
    (tmp_path / "m.csv").write_text(f"{HEAD}one,0.1,a.wav,{start},{stop},s\n")
    (found,) = read(section, tmp_path, manifest=Path("m.csv"))
    assert (found.start_s, found.duration_s) == told


def test_a_file_that_is_not_there_is_described_so_that_it_is_missed(tmp_path, section):
    (tmp_path / "m.csv").write_text(f"{HEAD}one,0.1,a.wav,100,200,s\n")
    assert read(section, tmp_path, manifest=Path("m.csv")) == [Described(path="a.wav", speaker="s", name="one")]


def test_placeholders_are_filled_and_a_path_may_have_been_moved(tmp_path, section):
    (tmp_path / "m.csv").write_text("ID, wav, spk_id, wrd\none, $root/a.wav, $who, $5 ${root}\n")
    (found,) = read(
        section, tmp_path, manifest=Path("m.csv"), replacements={"root": "/old", "who": "an"}, moved_from="/old"
    )
    assert (found.path, found.speaker, found.transcript) == ("a.wav", "an", "$5 ${root}")


def test_a_csv_of_windows_with_a_byte_order_mark_is_read(tmp_path, section):
    (tmp_path / "m.csv").write_bytes('\ufeffID,wav,spk_id,wrd\r\n1,d\\a.wav,Ánh,"two\r\nlines"\r\n\r\n'.encode())
    (found,) = read(section, tmp_path, manifest=Path("m.csv"))
    assert (found.path, found.speaker, found.transcript) == ("d/a.wav", "Ánh", "two\r\nlines")


@pytest.mark.parametrize("characters", [1, 7, 64, 1 << 20])
def test_json_is_read_the_same_in_pieces_of_any_size(small, section, monkeypatch, characters):
    whole = read(section, small)
    monkeypatch.setattr("curate.corpora.speechbrain.CHARACTERS_AT_ONCE", characters)
    assert read(section, small) == whole


@pytest.mark.parametrize(("name", "text"), [("m.json", " { } \n"), ("m.csv", "ID,wav,spk_id\n")])
def test_a_manifest_of_nothing_is_named(tmp_path, section, name, text):
    assert refusal(section, tmp_path, text, name) == f"{name}: no rows; expected at least one utterance"


def test_sound_behind_a_link_that_leads_out_is_not_opened(tmp_path, section, sound, monkeypatch):
    root = tmp_path / "root"
    root.mkdir()
    sound(tmp_path, "out/a.wav")
    (root / "a.wav").symlink_to(tmp_path / "out/a.wav")
    (root / "m.csv").write_text(f"{HEAD}one,0.1,a.wav,100,200,s\n")
    (found,) = read(section, root, manifest=Path("m.csv"), links="anywhere")
    assert found.is_stretch
    monkeypatch.setattr("curate.corpora.listed.sound_of", None)
    assert " leads out of " in refusal(section, root, f"{HEAD}one,0.1,a.wav,100,200,s\n")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "m.csv:1: columns ''; expected ID,duration,wav,spk_id and others, each once"),
        ("id,wav,spk_id\n", "m.csv:1: columns 'id,wav,spk_id'; expected ID,"),
        ("ID;wav;spk_id\n1;a.wav;s\n", "m.csv:1: columns 'ID;wav;spk_id'; expected ID,"),
        ("ID,wav,wav\n", "m.csv:1: columns 'ID,wav,wav'; expected ID,"),
        ("ID,wav\n1,a.wav\n", "m.csv:2: no `spk_id` or `speaker` or `speaker_id`; expected one in every row"),
        ("ID,spk_id\n1,s\n", "m.csv:2: no `wav` or `path` or `file_path`; expected one in every row"),
        ("ID,wav,spk_id\n1,a.wav,s\n,a.wav,s\n", "m.csv:3: no `ID`; expected one in every row"),
        ("ID,wav,spk_id\n1,a.wav\n", "m.csv:2: 2 fields; expected 3 as in the header"),
        ('ID,wav,spk_id,wrd\n1,a.wav,s,"no end\n2,b.wav,s,\n', "m.csv:2: unexpected end of data; expected a CSV"),
        (
            "ID,wav,spk_id\n1,$data_root/a.wav,s\n",
            "m.csv:2: `wav` holds '$data_root'; expected it in `replacements`, such as { 'data_root' = '.' }",
        ),
        ("ID,wav,spk_id\n1,/etc/passwd,s\n", "m.csv:2: path '/etc/passwd' leaves"),
        (
            "ID,wav,spk_id,wav_opts\n1,a.wav,s,start:0 stop:5\n",
            "m.csv:2: `wav_opts` of SpeechBrain before 0.5; expected",
        ),
        (HEAD + "1,1,a.wav,soon,2,s\n", "m.csv:2: `start` 'soon'; expected a finite number"),
        (HEAD + "1,1,a.wav,5,2,s\n", "m.csv:2: samples 5 to 2; expected `start` and a `stop` after it, counted from 0"),
        (HEAD + "1,1,a.wav,-5,2,s\n", "m.csv:2: samples -5 to 2; expected `start` and"),
        (b"ID,wav,spk_id\n1,\xff.wav,s\n", "m.csv:2: byte 2 is no UTF-8; expected text in UTF-8"),
        ("ID,wav,spk_id\n1,a.wav," + "s" * 200_000, "m.csv:2: field larger than field limit (131072); expected a CSV"),
    ],
)
def test_a_row_that_makes_no_utterance_is_refused_by_file_and_line(tmp_path, section, text, told):
    assert refusal(section, tmp_path, text).startswith(told)


UTTERANCE = '{\n"a": {"wav": "a.wav", "spk_id": "s"}'
NOT_ONE = "expected one JSON object of utterances by their ids"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", f"m.json:1: 'the end' where {{ should be; {NOT_ONE}"),
        ('[{"wav": "a.wav"}]', f"m.json:1: '[' where {{ should be; {NOT_ONE}"),
        (UTTERANCE, f"m.json:2: 'the end' where , or }} should be; {NOT_ONE}"),
        (UTTERANCE + ",\n}", f"m.json:3: no JSON (Expecting value); {NOT_ONE}"),
        (UTTERANCE + ",\n7: {}}", f"m.json:3: int where an id should be; {NOT_ONE}"),
        (UTTERANCE + ',\n"b": 12}', "m.json:3: int of 'b'; expected an object"),
        (UTTERANCE + ',\n"b" {}}', f"m.json:3: '{{' where : should be; {NOT_ONE}"),
        (UTTERANCE + ',\n"b": {"wav": "a", "wav": "b"}}', f"m.json:3: no JSON (key 'wav' twice); {NOT_ONE}"),
        (UTTERANCE + "}\n{}", f"m.json:3: text after the end; {NOT_ONE}"),
        (UTTERANCE + ',\n"": {"wav": "a.wav", "spk_id": "s"}}', "m.json:3: no `ID`; expected one in every row"),
        (UTTERANCE + ',\n"b": ' + "[" * 100_000, "m.json:3: no JSON (maximum recursion depth exceeded"),
        (UTTERANCE + ',\n"b": {"wav": {"file": ["x"]}}}', "m.json:3: `wav` \"['x']\"; expected text"),
        (
            UTTERANCE + ',\n"b": {"wav": "{root}/a.wav", "spk_id": "s"}}',
            "m.json:3: `wav` holds '{root}'; expected it in `repl",
        ),
        (UTTERANCE.encode() + b',\n"b\xff"', "m.json:1: no UTF-8 from here on; "),
    ],
)
def test_an_entry_that_makes_no_utterance_is_refused_by_file_and_line(tmp_path, section, text, told):
    assert refusal(section, tmp_path, text, "m.json").startswith(told)


@pytest.mark.parametrize("name", ["no.csv", "no.json"])
def test_a_manifest_that_is_not_there_is_named(tmp_path, section, name):
    with pytest.raises(CorpusError, match=rf"{name}: No such file or directory; expected a manifest"):
        read(section, tmp_path, manifest=Path(name))


def test_a_manifest_of_another_kind_is_refused(tmp_path, section):
    assert refusal(section, tmp_path, "", "m.txt") == "m.txt: cannot read '.txt'; expected .csv or .json"


def test_json_is_not_held_in_memory(tmp_path, section, monkeypatch):
    """A reader that asks for the first of a thousand entries has read a small part of the file."""
    monkeypatch.setattr("curate.corpora.speechbrain.CHARACTERS_AT_ONCE", 256)
    entry = json.dumps({"wav": "a.wav", "spk_id": "s"})
    (tmp_path / "m.json").write_text("{" + ", ".join(f'"{n}": {entry}' for n in range(1000)) + ", broken")
    found = READERS["speechbrain"].rows(tmp_path, section("speechbrain", tmp_path, manifest=Path("m.json")))
    assert [next(found).name for _ in range(3)] == ["0", "1", "2"]


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    name=st.sampled_from(["train.csv", "dev.csv", "test.json"]),
    at=st.integers(0, 300),
    cut=st.integers(0, 3),
    put=st.sampled_from(DAMAGE),
)
def test_damaged_manifests_give_rows_below_the_root_or_one_line_of_error(small, section, name, at, cut, put):
    whole = (small / name).read_bytes()
    (small / f"damaged{name}").write_bytes(whole[:at] + put + whole[at + cut :])
    found, refused = [], ""
    try:
        found = read(section, small, manifest=Path(f"damaged{name}"))
    except CorpusError as error:
        refused = str(error)
    assert len(refused.splitlines()) <= (not found)
    assert all((small / one.path).resolve().is_relative_to(small.resolve()) for one in found)
