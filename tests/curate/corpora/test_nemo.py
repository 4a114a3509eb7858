"""NeMo manifests: whole files and parts of them, either key of speakers, and lines that make no utterance."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curate.corpora import READERS
from curate.corpora.described import Described
from curate.corpora.listed import lines_of, number
from curate.errors import CorpusError

DAMAGE = [b"", b"\xff", b"\0", b'"', b"}", b"\r\n", b"9e999", b"..", b"/", b"\xef\xbb\xbf", b"\\ud800", b"\\n", b"{}"]


def read(section, root, **more):
    return list(READERS["nemo"].rows(root, section("nemo", root, **more)))


def row(section, root, links="inside", **keys):
    """The utterance of a manifest with one row: a file, a speaker, and what is given."""
    line = {"audio_filepath": "a.wav", "speaker": "an"} | keys
    (root / "m.json").write_text(json.dumps({key: it for key, it in line.items() if it is not ...}))
    (found,) = read(section, root, manifest=Path("m.json"), links=links)
    return found


def refusal(section, root, content, **more):
    (root / "m.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(CorpusError) as caught:
        read(section, root, manifest=Path("m.json"), **more)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{root}/")


def test_the_small_corpus_is_read_row_by_row(corpus_of, section):
    root = corpus_of("nemo")
    an = {"path": "wav/an 1.wav", "speaker": "an"}
    assert read(section, root) == [
        Described(**an, corpus_split="train"),
        Described(**an, name="half", start_s=0.0, duration_s=0.04, corpus_split="train"),
        Described(**an, start_s=0.05, duration_s=0.05, corpus_split="dev"),
        Described(
            path="wav/ba.flac",
            speaker="Dũng",
            sex="male",
            age_years=(34, 34),
            age_source="test.json",
            transcript="Nói  “gì”?",
            corpus_split="test",
        ),
    ]


def test_all_that_our_own_manifests_say_is_read(tmp_path, section):
    keys = {"sex": "female", "age": "30-39", "age_source": "face", "session": "s", "accent": "x", "nationality": "VN"}
    found = row(section, tmp_path, **keys, lang="vi", licence="CC0", corpus_split="dev", text=" a  b ")
    assert found == Described(
        path="a.wav",
        speaker="an",
        sex="female",
        age_years=(30, 39),
        age_source="face",
        session="s",
        accent="x",
        nationality="VN",
        language="vi",
        licence="CC0",
        corpus_split="dev",
        transcript=" a  b ",
    )


def test_the_speaker_is_in_the_key_that_the_settings_name(tmp_path, section):
    (tmp_path / "m.json").write_text('{"audio_filename": "a.wav", "speaker": "0", "label": "1", "who": 2.0}\n')
    found = [read(section, tmp_path, manifest=Path("m.json"), speaker_key=key)[0].speaker for key in (None, "who")]
    assert found == ["0", "2"]


def test_one_speaker_spelt_in_two_normal_forms_is_one(tmp_path, section):
    assert row(section, tmp_path, speaker="Du\u0303ng").speaker == row(section, tmp_path, speaker="D\u0169ng").speaker


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"duration": 0.04}, (None, None)),  # that of the file, whatever its header says
        ({"offset": None, "duration": 0.1}, (None, None)),
        ({"offset": 0, "duration": None}, (None, None)),
        ({"offset": 0, "duration": 0.0999}, (None, None)),
        ({"offset": 0, "duration": 0.05}, (0.0, 0.05)),
        ({"offset": "0.02", "duration": 0.05}, (0.02, 0.05)),
        ({"offset": 0.02}, (0.02, None)),
        ({"offset": 0, "duration": 0.05, "audio_filepath": "not there.wav"}, (None, None)),
    ],
)
def test_a_row_is_a_stretch_where_it_is_not_all_of_its_file(tmp_path, section, sound, keys, told):
    sound(tmp_path, "a.wav")
    found = row(section, tmp_path, **keys)
    assert (found.start_s, found.duration_s) == told


@pytest.mark.parametrize("suffix", [".ogg", ".flac", ".wav"])
def test_the_length_of_every_kind_of_file_is_known(tmp_path, section, sound, suffix):
    sound(tmp_path, f"a{suffix}")
    name = f"a{suffix}"
    assert not row(section, tmp_path, audio_filepath=name, offset=0, duration=0.1).is_stretch
    assert row(section, tmp_path, audio_filepath=name, offset=0, duration=0.05).is_stretch


def test_a_manifest_that_was_moved_or_zipped_or_written_on_windows_is_read(tmp_path, section):
    (tmp_path / "m.json").write_bytes('\ufeff{"audio_filepath": "/old/d\\\\a.wav", "label": "Ánh"}\r\n\r\n'.encode())
    (found,) = read(section, tmp_path, manifest=Path("m.json"), moved_from="/old")
    assert (found.path, found.speaker) == ("d/a.wav", "Ánh")


SOUND = '{"audio_filepath": "a.wav", "speaker": "s"}\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (SOUND + '{"speaker": "s"}\n', "m.json:2: no `audio_filepath` or `audio_filename`; expected one in every row"),
        ('{"audio_filepath": "a.wav"}\n', "m.json:1: no `speaker` or `label`; expected one in every row"),
        ('{"audio_filepath": ["a.wav"], "label": 1}\n', "m.json:1: `audio_filepath` \"['a.wav']\"; expected text"),
        ('{"audio_filepath": "a.wav", "label": true}\n', "m.json:1: `label` 'True'; expected text"),
        ('{"audio_filepath": "a.wav", "label": 1e300}\n', "m.json:1: `label` '1e+300'; expected text"),
        ('{"audio_filepath": "a.wav", "label": NaN}\n', "m.json:1: no `speaker` or `label`"),
        ('{"audio_filepath": "a.wav", "label": "\\ud800"}\n', "m.json:1: `label` '\\ud800' holds what is no text"),
        (SOUND + '{"audio_filepath": "a.wav"\n', "m.json:2: no JSON ("),
        ('{"label": 1, "label": 2}\n', "m.json:1: no JSON (key 'label' twice); expected one object a line"),
        ("[1]\n", "m.json:1: list; expected one object a line"),
        ("[" * 100_000, "m.json:1: no JSON ("),
        ('{"x": ' + "9" * 5000 + "}\n", "m.json:1: no JSON ("),
        (SOUND[:-2] + ', "offset": "0_1"}', "m.json:1: `offset` '0_1'; expected a finite number"),
        (SOUND[:-2] + ', "offset": "\u0661"}', "m.json:1: `offset` '\u0661'; expected a finite number"),
        (SOUND[:-2] + ', "offset": true}', "m.json:1: `offset` 'True'; expected a finite number"),
        (SOUND[:-2] + ', "gender": "femail"}', "m.json:1: sex 'femail'; expected female or male"),
        ("\n", "m.json: no rows; expected at least one utterance"),
        (SOUND[:-2] + ', "offset": "soon"}', "m.json:1: `offset` 'soon'; expected a finite number"),
        (SOUND[:-2] + ', "offset": NaN}', "m.json:1: `offset` 'nan'; expected a finite number"),
        (SOUND[:-2] + ', "offset": 1' + "0" * 400 + "}", "m.json:1: `offset` '1000"),
        (SOUND[:-2] + ', "offset": -1}', "m.json:1: a.wav: start_s -1.0; expected seconds"),
        (SOUND[:-2] + ', "offset": 1, "duration": 0}', "m.json:1: a.wav: duration_s 0.0; expected more than 0"),
        (SOUND[:-2] + ', "age": "old"}', "m.json:1: age 'old'; expected years (34)"),
        ('{"audio_filepath": "../a.wav", "label": 1}', "m.json:1: path '../a.wav' leaves"),
        ('{"audio_filepath": "s3://x/a.wav", "label": 1}', "m.json:1: path 's3://x/a.wav' is an address"),
        ('{"audio_filepath": "a\\u0000.wav", "label": 1}', "m.json:1: `audio_filepath` 'a\\x00.wav' holds what is no"),
        (SOUND.encode() + b"\xff\n", "m.json:2: byte 0 is no UTF-8; expected text in UTF-8"),
        (b"\x1f\x8bno gzip at all", "m.json: Unknown compression method; expected a manifest, plain or gzipped"),
    ],
)
def test_a_line_that_makes_no_utterance_is_refused_by_file_and_line(tmp_path, section, text, told):
    assert refusal(section, tmp_path, text).startswith(told)


def test_a_key_of_speakers_that_is_not_there_is_refused(tmp_path, section):
    told = refusal(section, tmp_path, SOUND, speaker_key="who")
    assert told == "m.json:1: no `who`; expected one in every row"


def test_a_manifest_that_is_not_there_is_named(tmp_path, section):
    with pytest.raises(CorpusError, match=r"no.json: No such file or directory; expected a manifest"):
        read(section, tmp_path, manifest=Path("no.json"))


def test_a_line_without_end_is_refused_before_it_fills_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("curate.corpora.listed.MAX_CHARACTERS", 8)
    (tmp_path / "m").write_text("123456\n12345678")
    with pytest.raises(CorpusError, match="m:2: 8 bytes without an end"):
        list(lines_of(tmp_path / "m"))


@pytest.mark.parametrize(("said", "told"), [(None, None), (" ", None), (1, 1.0), ("1e3", 1000.0)])
def test_numbers_are_numbers_or_nothing(said, told):
    assert number({"key": said}, "key") == told


@pytest.fixture
def small(corpus_of):
    return corpus_of("nemo")


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(at=st.integers(0, 600), cut=st.integers(0, 3), put=st.sampled_from(DAMAGE))
def test_damaged_manifests_give_rows_below_the_root_or_one_line_of_error(small, section, at, cut, put):
    whole = (small / "lists/train.json").read_bytes() + (small / "lists/test.json").read_bytes()
    (small / "lists/damaged.json").write_bytes(whole[:at] + put + whole[at + cut :])
    found, refused = [], ""
    try:
        found = read(section, small, manifest=Path("lists/damaged.json"))
    except CorpusError as error:
        refused = str(error)
    assert len(refused.splitlines()) <= (not found)
    assert all((small / one.path).resolve().is_relative_to(small.resolve()) for one in found)


def test_sound_behind_a_link_that_leads_out_is_not_opened(tmp_path, section, sound, monkeypatch):
    root = tmp_path / "root"
    root.mkdir()
    sound(tmp_path, "out/a.wav")
    (root / "a.wav").symlink_to(tmp_path / "out/a.wav")
    keys = {"offset": 0, "duration": 0.05}
    assert row(section, root, **keys, links="anywhere").is_stretch
    monkeypatch.setattr("curate.corpora.listed.sound_of", None)
    with pytest.raises(CorpusError, match=r"m\.json:1: .*/a\.wav leads out of .* by a link; expected"):
        row(section, root, **keys)
