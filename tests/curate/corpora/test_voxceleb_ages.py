"""Ages of VoxCeleb: three forms of lists, what counts as an age, where they disagree, whom Enrichment cannot know."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.ages import label
from curate.corpora.voxceleb_ages import Age, gather, remarks
from curate.errors import CorpusError

SMALL = "speaker_age,birth_year,Name,VoxCeleb_ID,video_id\n"
BIG = (
    "Name,gender_wiki,birth_date_wiki,nationality_wiki,gender_dbpedia,birth_date_dbpedia,nationality_dbpedia,gender_gkg,"
    "birth_date_gkg,nationality_gkg,video_id,title,publishing_date,description,year_in_title,VoxCeleb_ID,gender,"
    "birth_year,year_upload_yt,recording_year,recording_year_title_only,speaker_age,speaker_age_title_only\n"
)


def big(**told):
    """A row of Enrichment's big table."""
    cells = [told.get(column, "") for column in BIG.strip().split(",")]
    return ",".join('"' + cell.replace('"', '""') + '"' if set(cell) & set('",\n') else cell for cell in cells) + "\n"


@pytest.fixture
def gathered(tmp_path):
    """The ages of lists by name, in VoxCeleb1 all whose ids begin with id1."""

    def make(**lists):
        paths = []
        for name, text in lists.items():
            paths.append(tmp_path / name)
            paths[-1].write_bytes(text if isinstance(text, bytes) else text.encode())
        return gather(paths, lambda speaker: speaker.startswith("id1"))

    return make


def test_small_lists_of_enrichment_are_read(gathered):
    found = gathered(a=SMALL + "44.0,1969.0,Jürgen Ä,id02022,Ahk1sThoa0c\n9,1969.0,B,id03530,-dY_V-_3wT-\n")
    assert found.of_video == {
        "id02022/Ahk1sThoa0c": Age(44, 44, ("a",)),
        "id03530/-dY_V-_3wT-": Age(9, 9, ("a",)),
    }


def test_the_big_list_of_enrichment_is_read_where_it_tells_an_age(gathered):
    text = BIG + big(
        VoxCeleb_ID="id02022", video_id="Ahk1sThoa0c", speaker_age="44.0", description='two\nlines, "quoted"'
    )
    text += big(VoxCeleb_ID="id02022", video_id="-hk1sThoa0c", speaker_age_title_only="45.0")
    text += big(VoxCeleb_ID="id02022", video_id="_hk1sThoa0c", speaker_age="nan")
    text += big(video_id="_hk1sThoa0c", speaker_age="30.0") + big(video_id="_hk1sThoa0c")
    text += big(VoxCeleb_ID="NaN", video_id="_hk1sThoa0c", speaker_age="31.0")
    found = gathered(big=text)
    assert found.of_video == {"id02022/Ahk1sThoa0c": Age(44, 44, ("big",))}
    assert list(remarks(found)) == ["big: 2 of its ages are left out: their rows have no VoxCeleb_ID"]


@pytest.mark.parametrize("mark", ["\t", ";"])
def test_a_table_that_was_saved_with_another_delimiter_is_read(gathered, mark):
    text = (SMALL + "44.0,1969.0,A,id02022,Ahk1sThoa0c\n").replace(",", mark).replace("\n", "\r\n")
    assert gathered(a="\ufeff" + text).of_video == {"id02022/Ahk1sThoa0c": Age(44, 44, ("a",))}


def test_agevoxceleb_is_read_by_video_and_by_utterance(gathered):
    text = "id00012/21Uxsk56VDQ 43\nid00042/34f5sBShxSo/00001 70\n\nid00042/34f5sBShxSo/00002\t70\r\n"
    assert gathered(utt2age=text + "id10001/_-_-_-_-_-_ 9\n").of_video == {
        "id00012/21Uxsk56VDQ": Age(43, 43, ("utt2age",)),
        "id00042/34f5sBShxSo": Age(70, 70, ("utt2age",)),
        "id10001/_-_-_-_-_-_": Age(9, 9, ("utt2age",)),  # others than Enrichment may know VoxCeleb1's
    }


def test_what_enrichment_says_of_voxceleb1s_speakers_is_left_out_and_counted(gathered):
    found = gathered(a=SMALL + "44.0,1969.0,A,id10001,Ahk1sThoa0c\n45.0,1969.0,A,id00012,Ahk1sThoa0c\n")
    assert found.of_video == {"id00012/Ahk1sThoa0c": Age(45, 45, ("a",))}
    assert list(remarks(found)) == [
        "a: 1 of its ages are left out: they name VoxCeleb1's speakers, of whom Enrichment knows none"
    ]


def test_sources_that_agree_are_both_named(gathered):
    found = gathered(a=SMALL + 2 * "44.0,1969.0,A,id00012,Ahk1sThoa0c\n", b=2 * "id00012/Ahk1sThoa0c 44\n")
    age = found.of_video["id00012/Ahk1sThoa0c"]
    assert (age.youngest, age.oldest, age.source, age.conflict_years) == (44, 44, "a+b", None)
    assert list(remarks(found)) == []


def test_sources_that_disagree_span_their_ages_and_are_reported(gathered):
    found = gathered(
        a=SMALL + "44.0,1969.0,A,id00012,Ahk1sThoa0c\n30.0,1969.0,A,id00013,Ahk1sThoa0c\n",
        b="id00012/Ahk1sThoa0c/00001 46\nid00012/Ahk1sThoa0c/00002 40\nid00013/Ahk1sThoa0c 31\nid00014/Ahk1sThoa0c 7\n",
    )
    age = found.of_video["id00012/Ahk1sThoa0c"]
    assert (age.youngest, age.oldest, age.source, age.conflict_years) == (40, 46, "a+b", 6)
    assert list(remarks(found)) == [
        "the lists of ages disagree on 2 of 3 videos, most on id00012/Ahk1sThoa0c: 40 to 46 years (a+b)"
    ]


def test_one_list_that_disagrees_with_itself_is_a_conflict_as_well(gathered):
    age = gathered(a="id00012/Ahk1sThoa0c/00001 46\nid00012/Ahk1sThoa0c/00002 40\n").of_video["id00012/Ahk1sThoa0c"]
    assert (age.youngest, age.oldest, age.source, age.conflict_years) == (40, 46, "a", 6)


@pytest.mark.parametrize(
    ("word", "years"), [("0", 0), ("120.0", 120), ("44.9", 44), ("", None), ("nan", None), ("NaN", None), (" 7 ", 7)]
)
def test_an_age_counts_in_completed_years_and_a_blank_is_unknown(gathered, word, years):
    found = gathered(a=SMALL + f"{word},,,id00012,Ahk1sThoa0c\n").of_video
    assert [age.youngest for age in found.values()] == ([] if years is None else [years])


@pytest.mark.parametrize("word", ["-1", "121", "inf", "forty", "4_4", "1e1", "44 years", "٤٤", "9" * 5_000])
def test_an_age_that_nobody_has_is_refused_by_file_and_line(gathered, tmp_path, word):
    with pytest.raises(CorpusError) as caught:
        gathered(a=SMALL + f"44.0,,,id00012,Ahk1sThoa0c\n{word},,,id00012,Ahk1sThoa0c\n")
    assert str(caught.value) == f"{tmp_path}/a:3: age {word[:80]!r}; expected years from 0 to 120, or a blank"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", ": empty; expected a list that goes with VoxCeleb"),
        (SMALL, ": no rows; expected a header and rows"),
        (
            "id00012 43\n",
            ": begins with 'id00012 43'; expected lines such as `id00012/21Uxsk56VDQ/00001 43` (AgeVoxCeleb), or a "
            "table of speaker_age, VoxCeleb_ID, video_id (Enrichment)",
        ),
        (
            "age,VoxCeleb_ID,video_id\n1,id00012,Ahk1sThoa0c\n",
            ":2: no column 'speaker_age'; expected speaker_age, VoxCeleb_ID, video_id",
        ),
        (SMALL + "1,,,id0012,Ahk1sThoa0c\n", ":2: 'id0012'; expected an id such as id00012"),
        (SMALL + "1,,,id00012,hk1sThoa0c\n", ":2: 'hk1sThoa0c'; expected an id such as 21Uxsk56VDQ"),
        (SMALL + "1,,id00012,Ahk1sThoa0c\n", ":2: not as many fields as the header; expected 5"),
        (
            "id00012/21Uxsk56VDQ 43\nid00012/21Uxsk56VD 43\n",
            ":2: 'id00012/21Uxsk56VD 43'; expected a speaker's video and age, id00012/21Uxsk56VDQ 43",
        ),
        (
            "id00012/21Uxsk56VDQ 43\nid00012/21Uxsk56VDQ\n",
            ":2: 'id00012/21Uxsk56VDQ'; expected a speaker's video and age, id00012/21Uxsk56VDQ 43",
        ),
        ("id00012/21Uxsk56VDQ old\n", ":1: age 'old'; expected years from 0 to 120, or a blank"),
        (b"id00012/21Uxsk56VDQ 43\n\xff", " is no UTF-8; expected a list that goes with VoxCeleb"),
        (SMALL.encode() + b"\0,,,,\n", ":2: "),
    ],
)
def test_a_list_of_another_form_is_refused_by_file_and_line(gathered, tmp_path, text, told):
    with pytest.raises(CorpusError) as caught:
        gathered(a=text)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path}/a")
    assert told.removeprefix(":1") in str(caught.value)


def test_a_list_that_is_not_there_is_named(tmp_path):
    with pytest.raises(CorpusError, match=rf"^{tmp_path}/no\.txt: No such file or directory; expected a list"):
        gather([tmp_path / "no.txt"], lambda _: False)


@settings(deadline=None, max_examples=200)
@given(
    head=st.sampled_from(["", SMALL, "id00012/21Uxsk56VDQ 43\n", BIG]),
    rest=st.binary(max_size=40) | st.text('id0129/_-,;\t\n"\r. nan', max_size=80).map(str.encode),
)
def test_any_bytes_are_ages_or_one_line_of_error(tmp_path_factory, head, rest):
    path = tmp_path_factory.getbasetemp() / "ages-of-junk"
    path.write_bytes(head.encode() + rest)
    ages, refused = [], f"{path}"
    try:
        ages = gather([path], lambda _: False).of_video.values()
    except CorpusError as error:
        refused = str(error)
    assert refused.startswith(f"{path}")
    assert "\n" not in refused
    assert all(0 <= age.youngest <= age.oldest <= 120 for age in ages)


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "groups"),
    [
        ("age-train.txt", {"young": 368, "adult": 1_101, "senior": 221}),
        ("age-test.txt", {"young": 273, "adult": 674, "senior": 180}),
    ],
)
def test_the_real_lists_fall_into_the_groups_they_should(corpora, name, groups):
    found = gather([corpora / "voxceleb-metadata" / name], lambda speaker: "id10001" <= speaker <= "id11251")
    assert Counter(label("leq29", age.youngest, age.oldest).group for age in found.of_video.values()) == groups
    assert list(remarks(found)) == []


@pytest.mark.real
def test_the_real_lists_share_no_speaker(corpora):
    train, test = (
        {
            key.split("/")[0]
            for key in gather([corpora / "voxceleb-metadata" / f"age-{part}.txt"], lambda _: False).of_video
        }
        for part in ("train", "test")
    )
    assert (len(train), len(test), train & test) == (1_690, 1_127, set())
