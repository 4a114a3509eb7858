"""Common Voice: every generation of its tables, clips in several of them, splits, and files that are damaged."""

import numpy as np
import pytest

from curate.corpora import READERS
from curate.corpora.described import Described
from curate.errors import CorpusError

AN, BA, CUC = ("a" * 128, "b" * 128, "c" * 128)
COLUMNS = [
    "client_id",
    "path",
    "sentence",
    "up_votes",
    "down_votes",
    "age",
    "gender",
    "accent",
]  # of the oldest releases


@pytest.fixture
def common_voice(corpus_of):
    return corpus_of("common_voice")


def section(root, **more):
    return READERS["common_voice"].Settings(reader="common_voice", name="cv", root=root, **more)


def read(root, *tables, **more):
    chosen = {"tables": tables} if tables else {}
    return list(READERS["common_voice"].rows(root, section(root, **chosen, **more)))


def remarks(root, *tables):
    chosen = {"tables": tables} if tables else {}
    return list(READERS["common_voice"].remarks(root, section(root, **chosen)))


def refusal(root, *tables):
    with pytest.raises(CorpusError) as caught:
        read(root, *tables)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value).replace(f"{root}/", "")


def write(root, table, *rows, columns=COLUMNS):
    """A table of which only some columns matter; the others are blank."""
    lines = [columns, *([row.get(column, "") for column in columns] for row in rows)]
    (root / f"{table}.tsv").write_text("".join("\t".join(line) + "\n" for line in lines), encoding="utf-8")
    return root


def test_the_small_corpus_is_read_to_exactly_these_rows(common_voice):
    clips = "clips/common_voice_vi_"
    one = Described(
        path=f"{clips}1.mp3",
        speaker=AN,
        sex="female",
        age_years=(40, 49),
        age_source="validated.tsv",
        accent="Huế",
        language="vi",
        transcript="Xin chào.",
        corpus_split="train",
    )
    two = Described(path=f"{clips}2.mp3", speaker=AN, language="vi", transcript='"Vâng, nó nói')
    three = Described(
        path=f"{clips}3.mp3",
        speaker=BA,
        age_years=(10, 19),
        age_source="validated.tsv",
        language="vi",
        transcript="Một hai",
        corpus_split="test",
    )
    four = Described(
        path=f"{clips}4.mp3",
        speaker=CUC,
        sex="male",
        age_years=(60, 69),
        age_source="invalidated.tsv",
        language="vi",
        transcript="Ba",
    )
    assert read(common_voice) == [one, two, three]
    assert read(common_voice, "validated", "invalidated", "other") == [one, two, three, four]
    assert remarks(common_voice, "validated", "invalidated", "other") == []


def test_a_clip_in_two_chosen_tables_is_read_once(common_voice):
    told = [(row.utterance[-1], row.age_source) for row in read(common_voice, "test", "train", "validated", "train")]
    assert told == [("3", "test.tsv"), ("1", "train.tsv"), ("2", None)]


def test_a_clip_that_another_table_gives_to_another_client_is_refused(common_voice):
    path = {"path": "common_voice_vi_2.mp3"}
    write(common_voice, "dev", {"client_id": BA} | path)
    told = "validated.tsv:3: clip 'clips/common_voice_vi_2.mp3' is another client's than in dev.tsv:2; expected one"
    assert refusal(common_voice).startswith(told)
    write(common_voice, "dev")
    write(common_voice, "other", {"client_id": BA} | path)
    assert refusal(common_voice, "validated", "other").startswith("other.tsv:2: clip 'clips/common_voice_vi_2.mp3' is")


def test_a_clip_on_two_lines_of_a_table_is_refused(common_voice):
    with (common_voice / "validated.tsv").open("a+", encoding="utf-8") as file:
        file.seek(0)
        file.write(file.read().splitlines(keepends=True)[2])
    assert refusal(common_voice) == "validated.tsv:5: the clip of line 3 again; expected one line a clip"


def test_without_the_tables_of_the_splits_a_delta_release_is_read(common_voice):
    for split in ("train", "dev", "test"):
        (common_voice / f"{split}.tsv").unlink()
    assert [row.corpus_split for row in read(common_voice)] == [None, None, None]


GENERATIONS = {
    "1 to 4": COLUMNS,
    "5 to 12": [*COLUMNS, "locale", "segment"],
    "13 to 16": [
        "client_id",
        "path",
        "sentence",
        "up_votes",
        "down_votes",
        "age",
        "gender",
        "accents",
        "variant",
        "locale",
        "segment",
    ],
    "17 on": [
        "client_id",
        "path",
        "sentence_id",
        "sentence",
        "sentence_domain",
        "up_votes",
        "down_votes",
        "age",
        "gender",
        "accents",
        "variant",
        "locale",
        "segment",
    ],
    "in another order": ["segment", "locale", *reversed(COLUMNS)],
    "with a column to come": [*COLUMNS, "locale", "mood"],
}


@pytest.mark.parametrize("columns", GENERATIONS.values(), ids=GENERATIONS)
def test_every_generation_of_columns_is_read(tmp_path, columns):
    told = {"client_id": AN, "path": "x.mp3", "sentence": "好", "age": "twenties", "gender": "male"}
    write(tmp_path, "validated", told | {"accent": "北京", "accents": "北京", "locale": "zh-CN"}, columns=columns)
    expected = Described(
        path="clips/x.mp3",
        speaker=AN,
        sex="male",
        age_years=(20, 29),
        age_source="validated.tsv",
        accent="北京",
        language="zh-CN" if "locale" in columns else "zh",
        transcript="好",
    )
    assert read(tmp_path, language="zh") == [expected]


@pytest.mark.parametrize("path", ["x.mp3", "x", "clips/x.mp3", "clips/x", "./clips/x", "clips\\x.mp3", "../clips/x"])
def test_a_path_may_leave_out_its_suffix_and_name_its_folder(tmp_path, path):
    write(tmp_path, "validated", {"client_id": AN, "path": path})
    write(tmp_path, "dev", {"client_id": AN, "path": "x"})
    (row,) = read(tmp_path)
    assert (row.path, row.utterance, row.corpus_split) == ("clips/x.mp3", "clips/x", "dev")


def test_a_copy_in_another_form_of_audio_keeps_its_suffix(tmp_path):
    write(tmp_path, "validated", {"client_id": AN, "path": "x.wav"}, {"client_id": AN, "path": "y.FLAC"})
    assert [row.path for row in read(tmp_path)] == ["clips/x.wav", "clips/y.FLAC"]


@pytest.mark.parametrize(
    ("word", "sex"),
    [("male", "male"), ("female", "female"), ("male_masculine", "male"), ("female_feminine", "female")]
    + [(word, None) for word in ("", "other", "transgender", "non-binary", "intersex", "do_not_wish_to_say")],
)
def test_genders_old_and_new_are_sexes_or_unknown(tmp_path, word, sex):
    write(tmp_path, "validated", {"client_id": AN, "path": "x", "gender": word})
    assert [row.sex for row in read(tmp_path)] == [sex]


def test_decades_are_ranges_of_ages(tmp_path):
    words = ["teens", "twenties", "thirties", "fourties", "fifties", "sixties", "seventies", "eighties", "nineties"]
    rows = [{"client_id": AN, "path": f"x{word}", "age": word} for word in [*words, ""]]
    told = [row.age_years for row in read(write(tmp_path, "validated", *rows))]
    assert told == [*((years, years + 9) for years in range(10, 100, 10)), None]


def test_a_byte_order_mark_and_windows_lines_do_no_harm(common_voice):
    expected = read(common_voice)
    for table in ("validated", "train", "dev", "test"):
        content = (common_voice / f"{table}.tsv").read_bytes()
        (common_voice / f"{table}.tsv").write_bytes(b"\xef\xbb\xbf" + content.replace(b"\n", b"\r\n"))
    assert read(common_voice) == expected


@pytest.mark.parametrize("lost", ["client_id", "path", "sentence", "age", "gender", "accent"])
def test_a_column_that_is_missing_or_misspelt_is_refused(tmp_path, lost):
    named = "accents" if lost == "accent" else lost
    kept = [column for column in COLUMNS if column != lost]
    write(tmp_path, "validated", {"path": "x"}, columns=kept)
    told = f"validated.tsv:2: no column {named!r}; expected the columns of Common Voice"
    assert refusal(tmp_path) == told
    write(tmp_path, "validated", {"path": "x"}, columns=[*kept, f"{lost}_"])
    assert refusal(tmp_path) == told.replace(";", f" but '{lost}_';")


def test_a_misspelt_locale_is_refused_though_old_releases_have_none(tmp_path):
    write(tmp_path, "validated", {"client_id": AN, "path": "x"}, columns=[*COLUMNS, "language"])
    assert (
        refusal(tmp_path) == "validated.tsv:2: no column 'locale' but 'language'; expected the columns of Common Voice"
    )


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"client_id": AN, "path": "../../x.mp3"}, "path '../../x.mp3' leaves "),
        ({"client_id": AN, "path": "/etc/passwd"}, "path '/etc/passwd' leaves "),
        ({"client_id": AN, "path": "https://a/x.mp3"}, "path 'https://a/x.mp3' is an address"),
        ({"client_id": AN, "path": ""}, "path ''; expected the path of an audio file"),
        ({"client_id": AN, "path": "a\u2028b"}, "path 'a\\u2028b'; expected the name of a clip"),
        ({"client_id": "", "path": "x"}, "clips/x.mp3: no speaker; expected a label"),
        ({"client_id": AN, "path": "x", "age": "forty"}, "age 'forty'; expected years (34), a range"),
    ],
)
def test_a_row_that_makes_no_utterance_is_refused_by_file_and_line(tmp_path, row, told):
    write(tmp_path, "validated", {"client_id": AN, "path": "y"}, row)
    assert refusal(tmp_path).startswith(f"validated.tsv:3: {told}")


def test_a_sentence_that_holds_a_tab_is_refused_by_file_and_line(tmp_path):
    write(tmp_path, "validated", {"client_id": AN, "path": "x", "sentence": "a\tb"})
    assert refusal(tmp_path) == "validated.tsv:2: 9 fields; expected 8 as in the header"


def test_a_table_that_is_not_there_is_named(common_voice):
    (common_voice / "other.tsv").unlink()
    assert refusal(common_voice, "other").startswith("other.tsv: No such file or directory; expected")


@pytest.mark.parametrize("tables", [(), ("reported",), ("validated.tsv",)])
def test_only_tables_of_clips_can_be_chosen(tmp_path, tables):
    with pytest.raises(ValueError, match="tables"):
        section(tmp_path, tables=tables)


def test_a_table_that_cannot_be_chosen_is_told_in_one_sentence(tmp_path):
    with pytest.raises(ValueError, match="1 validation error") as caught:
        section(tmp_path, tables=("reported",))
    assert "'validated', 'invalidated' or 'other'" in str(caught.value)


def test_splits_that_share_a_clip_or_a_client_are_remarked_on(common_voice):
    one, two = {"client_id": AN, "path": "common_voice_vi_1"}, {"client_id": AN, "path": "common_voice_vi_2"}
    write(common_voice, "dev", one, two)
    assert remarks(common_voice) == [
        "1 clips are in train.tsv and in dev.tsv",
        "1 clients speak in train.tsv and in dev.tsv",
    ]
    assert [row.corpus_split for row in read(common_voice)] == ["train", "dev", "test"]


@pytest.mark.parametrize("column", ["clip", "filename"])
def test_clips_that_are_empty_or_unmeasured_are_remarked_on(common_voice, column):
    text = f"{column}\tduration[ms]\ncommon_voice_vi_1.mp3\t0\ncommon_voice_vi_3.mp3\t1512\n"
    (common_voice / "clip_durations.tsv").write_text(text)
    assert remarks(common_voice, "validated", "invalidated") == [
        "1 clips last 0 ms in clip_durations.tsv",
        "1 clips of validated.tsv are not in clip_durations.tsv, first that of line 3",
        "1 clips of invalidated.tsv are not in clip_durations.tsv, first that of line 2",
    ]
    (common_voice / "clip_durations.tsv").unlink()
    assert remarks(common_voice) == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("clip\tms\nx.mp3\t3\n", "2: no clip or no duration[ms]; expected these two columns"),
        ("clip\tduration[ms]\nx.mp3\tlong\n", "2: duration[ms] 'long'; expected milliseconds"),
        ("clip\tduration[ms]\nx.mp3\tnan\n", "2: duration[ms] 'nan'; expected milliseconds"),
        ("clip\tduration[ms]\n../../x.mp3\t1\n", "2: path '../../x.mp3' leaves "),
    ],
)
def test_lengths_that_cannot_be_read_are_refused_by_file_and_line(common_voice, text, told):
    (common_voice / "clip_durations.tsv").write_text(text)
    with pytest.raises(CorpusError) as caught:
        remarks(common_voice)
    assert str(caught.value).startswith(f"{common_voice}/clip_durations.tsv:{told}")


def test_the_release_with_wrong_ages_is_remarked_on(common_voice, tmp_path):
    (tmp_path / "cv-corpus-6.0-2020-12-11").mkdir()
    root = common_voice.rename(tmp_path / "cv-corpus-6.0-2020-12-11/vi")
    assert remarks(root) == ["release 6.0 gives ages, sexes and accents to the wrong clips; 6.1 corrects it"]


def test_of_many_clips_each_is_found_in_its_split(tmp_path):
    rng = np.random.default_rng(0)
    rows = [{"client_id": str(number % 50), "path": str(number)} for number in range(2_000)]
    split = rng.choice(["train", "dev", "test", ""], len(rows))
    for name in ("train", "dev", "test"):
        write(tmp_path, name, *(row for row, chosen in zip(rows, split, strict=True) if chosen == name))
    write(tmp_path, "validated", *rows)
    assert [row.corpus_split for row in read(tmp_path)] == [name or None for name in split]


def test_damaged_metadata_is_rows_or_one_line_that_says_what_is_wrong(common_voice, damage):
    def reading():
        rows = read(common_voice)
        assert len({row.path for row in rows}) == len(rows)
        assert all(not row.path.startswith(("/", "..")) for row in rows)
        remarks(common_voice)

    damage(
        common_voice,
        ["validated.tsv", "train.tsv", "test.tsv", "clip_durations.tsv"],
        reading,
        divider=b"\t",
        leave=lambda text, at, junk: text.replace(b"common_voice", (b"../../", b"/etc/", b"..\\")[at % 3]),
        swap=lambda text, at, junk: text.replace(b"gender", b"sex").replace(b"locale", junk),
        long=lambda text, at, junk: text[:at] + junk * 50_000 + text[at:],
    )
