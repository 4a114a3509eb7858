"""VoxCeleb: layouts people have, three forms of metadata, names for ids, ages that join by video, published trials."""

import shutil
import unicodedata
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.config import load_pipeline
from curate.corpora import READERS, voxceleb
from curate.corpora.described import Described, PublishedTrial
from curate.errors import CorpusError

AGES = "speaker_age,birth_year,Name,VoxCeleb_ID,video_id\n44.0,1969.0,Somebody,id00012,21Uxsk56VDQ\n"


@pytest.fixture
def vox(corpus_of):
    return corpus_of("voxceleb")


@pytest.fixture
def read(section):
    """Every row of a root, under settings."""

    def make(root, **more):
        return list(voxceleb.rows(root, section("voxceleb", root, **more)))

    return make


def refusal(act, root):
    with pytest.raises(CorpusError) as caught:
        act()
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(f"{root}", "ROOT")


def test_the_small_corpus_is_read_whole(vox, read):
    dev = {"sex": "female", "nationality": "USA", "corpus_split": "dev", "session": "-abc_DEF-12"}
    zoe = "id10003/-abc_DEF-12"
    assert read(vox) == [
        Described(path=f"vox1/dev/wav/{zoe}/00001.wav", name=f"{zoe}/00001", speaker="id10003", **dev),
        Described(path=f"vox1/dev/wav/{zoe}/00012.wav", name=f"{zoe}/00012", speaker="id10003", **dev),
        Described(
            path="vox1/test/wav/id10270/__--__--__-/00001.wav",
            name="id10270/__--__--__-/00001",
            speaker="id10270",
            session="__--__--__-",
            sex="female",
            nationality="Trinidad and Tobago",
            corpus_split="test",
        ),
        Described(
            path="vox2/aac/id00012/21Uxsk56VDQ/00001.flac",
            name="id00012/21Uxsk56VDQ/00001",
            speaker="id00012",
            session="21Uxsk56VDQ",
            sex="male",
            corpus_split="dev",
        ),
        Described(
            path="voxceleb1_wav/A.J._Buckley/1zcIwhmdeo4_0000001.wav",
            name="id10001/1zcIwhmdeo4/00001",
            speaker="id10001",
            session="1zcIwhmdeo4",
            sex="male",
            nationality="Ireland",
            corpus_split="dev",
        ),
    ]


@pytest.mark.parametrize("prefix", ["", "wav/", "dev/aac/", "voxceleb2/dev/aac/", "id00099/wav/"])
def test_an_utterance_is_called_the_same_below_whatever_folders(tmp_path, sound, read, prefix):
    sound(tmp_path, f"{prefix}id00012/_-Uxsk56VD-/00007.WAV")
    (row,) = read(tmp_path)
    assert row == Described(
        path=f"{prefix}id00012/_-Uxsk56VD-/00007.WAV",
        name="id00012/_-Uxsk56VD-/00007",
        speaker="id00012",
        session="_-Uxsk56VD-",
    )


@pytest.mark.parametrize(
    "path",
    [
        "00001.wav",
        "21Uxsk56VDQ/00001.wav",
        "id00012/00001.wav",
        "id00012/21Uxsk56VD/00001.wav",
        "id00012/21Uxsk56VDQ/1.wav",
        "id00012/21Uxsk56VDQ/0001a.flac",
        "id00012/21Uxsk56VDQ/more/00001.wav",
        "musan/noise/free-sound/noise-0000.wav",
    ],
)
def test_audio_elsewhere_is_refused_by_its_path(tmp_path, sound, read, path):
    sound(tmp_path, path)
    told = refusal(lambda: read(tmp_path), tmp_path)
    assert told == f"ROOT: {path!r}; expected id10001/1zcIwhmdeo4/00001.wav below whatever folders"


def test_names_for_ids_need_the_metadata_of_voxceleb1(vox, read):
    (vox / "vox1_meta.csv").unlink()
    (vox / "vox2_meta.csv").unlink()
    assert refusal(lambda: read(vox), vox) == (
        "ROOT: 'voxceleb1_wav/A.J._Buckley/1zcIwhmdeo4_0000001.wav': 'A.J._Buckley' is no id of a speaker; "
        "expected one, or a `meta` (vox1_meta.csv) in which it is a VGGFace1 ID"
    )


@pytest.mark.parametrize("listed", ["NFC", "NFD"])
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_folder_with_a_persons_name_is_hers_in_either_normal_form(vox, read, sound, form, listed):
    meta = vox / "vox1_meta.csv"
    meta.write_text(unicodedata.normalize(listed, meta.read_text(encoding="utf-8")), encoding="utf-8")
    name = unicodedata.normalize(form, "Zoë_Kravitz")
    sound(vox, f"voxceleb1_wav/{name}/1zcIwhmdeo4/00003.wav")
    assert read(vox)[-1].utterance == "id10003/1zcIwhmdeo4/00003"


def test_a_speaker_the_metadata_lacks_is_named(vox, read, sound):
    sound(vox, "wav/id99999/21Uxsk56VDQ/00001.wav")
    assert refusal(lambda: read(vox), vox) == (
        "ROOT: 'wav/id99999/21Uxsk56VDQ/00001.wav': no row for id99999 in ROOT/vox1_meta.csv or ROOT/vox2_meta.csv; "
        "expected one"
    )


def test_metadata_that_is_named_goes_before_what_lies_at_the_root(vox, read, tmp_path):
    mine = tmp_path / "mine.csv"
    mine.write_text((vox / "vox1_meta.csv").read_text(encoding="utf-8").replace("Ireland", "Mars"), encoding="utf-8")
    told = refusal(lambda: read(vox, meta=(mine,)), vox)
    assert told.endswith(f"no row for id00012 in {mine}; expected one")
    shutil.rmtree(vox / "vox2")
    assert read(vox, meta=(mine,))[-1].nationality == "Mars"


@pytest.mark.parametrize(
    "text",
    [
        "VoxCeleb2 ID ,VGGFace2 ID ,Gender ,Set \nid00012 ,n000012 ,m ,dev\nid00017 ,n000017 ,f ,test \n",
        "VoxCeleb2 ID\tVGGFace2 ID\tGender\tSet\nid00012\tn000012\tm\tdev\nid00017\tn000017\tf\ttest\n",
        "Name \tVoxCeleb2 ID \tVGGFace2 ID \tGender \tSet \n"
        'Jürgen "J" \tid00012 \tn000012 \tm \tdev \n\nZoë \tid00017 \tn000017 \tf \ttest \n',
        "\ufeffVoxCeleb2 ID ,VGGFace2 ID ,Gender ,Set\r\nid00012 ,n000012 ,m ,dev\r\nid00017 ,n000017 ,f ,test\r\n",
        'Set;Gender;"VGGFace2 ID";VoxCeleb2 ID\n"dev";m;n000012;id00012\ntest;f;;id00017',
    ],
)
def test_all_variants_of_the_metadata_are_read_to_the_same_speakers(tmp_path, text):
    (tmp_path / "vox2_meta.csv").write_bytes(text.encode())
    rest = {"part": 2, "name": None, "nationality": None}
    assert voxceleb.speakers([tmp_path / "vox2_meta.csv"]) == {
        "id00012": voxceleb.Speaker(sex="male", corpus_split="dev", **rest),
        "id00017": voxceleb.Speaker(sex="female", corpus_split="test", **rest),
    }


HEADER = "VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", ": empty; expected a list that goes with VoxCeleb"),
        (HEADER, ": no rows; expected a header and rows"),
        (HEADER + "id10001\tA\tm\tUSA\n", ":2: not as many fields as the header; expected 5"),
        (HEADER + "id10001\tA\tm\tUSA\tdev\tmore\n", ":2: not as many fields as the header; expected 5"),
        (HEADER + "id1001\tA\tm\tUSA\tdev\n", ":2: 'id1001' is no id of a speaker; expected one such as id10001"),
        (HEADER + "id10001\tA\tUSA\tm\tdev\n", ":2: sex 'USA'; expected m or f"),
        (HEADER + "id10001\tA\tm\tUSA\ttrain\n", ":2: Set 'train'; expected dev or test"),
        (
            HEADER + 2 * "id10001\tA\tm\tUSA\tdev\n",
            ":3: 'id10001' again, after ROOT/m.csv:2; expected one row a speaker",
        ),
        (
            HEADER + "id10001\tA\tm\tUSA\tdev\nid10002\tA\tm\tUSA\tdev\n",
            ":3: 'A' again, after ROOT/m.csv:2; expected one row a speaker",
        ),
        (
            HEADER.replace("Nationality", "Country") + "id10001\tA\tm\tUSA\tdev\n",
            ":2: no column 'Nationality'; expected VoxCeleb1 ID, VGGFace1 ID, Gender, Nationality, Set",
        ),
        ("id,sex\nid10001,m\n", ":2: no column 'VoxCeleb2 ID'; expected VoxCeleb2 ID, VGGFace2 ID, Gender, Set"),
        ("Set,Set \ndev,dev\n", ":1: a column is named twice; expected each once"),
        ('VoxCeleb2 ID,Set\n"id00012,dev\n', ":2: unexpected end of data; expected a table"),
    ],
)
def test_metadata_that_makes_no_sense_is_refused_by_file_and_line(tmp_path, text, told):
    (tmp_path / "m.csv").write_text(text, encoding="utf-8")
    assert refusal(lambda: voxceleb.speakers([tmp_path / "m.csv"]), tmp_path) == f"ROOT/m.csv{told}"


def test_metadata_that_is_not_there_or_no_text_is_refused(tmp_path):
    told = "ROOT/m.csv: No such file or directory; expected a list that goes with VoxCeleb"
    assert refusal(lambda: voxceleb.speakers([tmp_path / "m.csv"]), tmp_path) == told
    (tmp_path / "m.csv").write_bytes(b"VoxCeleb2 ID,Set\n\xff")
    assert "is no UTF-8" in refusal(lambda: voxceleb.speakers([tmp_path / "m.csv"]), tmp_path)


def test_metadata_that_is_a_folder_is_refused_and_not_passed_over(vox, read):
    (vox / "vox1_meta.csv").unlink()
    (vox / "vox1_meta.csv").mkdir()
    told = "ROOT/vox1_meta.csv: Is a directory; expected a list that goes with VoxCeleb"
    assert refusal(lambda: read(vox), vox) == told


def test_a_list_of_ages_that_tells_of_no_video_here_is_refused_by_its_name(vox, read, tmp_path):
    lists = {"mine": "id00012/21Uxsk56VDQ 46\n", "other": "id00013/21Uxsk56VDQ 46\n"}
    for name, text in lists.items():
        (tmp_path / name).write_text(text)
    assert [row.age_years for row in read(vox, ages=(tmp_path / "mine",)) if row.age_years] == [(46, 46)]
    assert refusal(lambda: read(vox, ages=(tmp_path / "mine", tmp_path / "other")), tmp_path) == (
        "ROOT/other: tells the age in none of the videos here, such as that of "
        "'voxceleb1_wav/A.J._Buckley/1zcIwhmdeo4_0000001.wav'; expected a list for this corpus (`ages`)"
    )


def test_blank_cells_of_sex_and_nationality_are_unknown(tmp_path):
    (tmp_path / "m.csv").write_text(HEADER + "id10001\t\t\t\tdev\n")
    assert voxceleb.speakers([tmp_path / "m.csv"]) == {
        "id10001": voxceleb.Speaker(part=1, name=None, sex=None, nationality=None, corpus_split="dev")
    }


def test_ages_join_by_speaker_and_video_with_their_source_and_conflict(vox, read, tmp_path, sound):
    (tmp_path / "age-train.txt").write_text(AGES + "20.0,1990.0,A,id10003,-abc_DEF-12\n")
    (tmp_path / "utt2age.train").write_text("id00012/21Uxsk56VDQ/00001 46\nid10270/__--__--__- 50\n")
    sound(vox, "vox2/aac/id00012/aaaaaaaaaaa/00001.flac", "vox2/aac/id00017/21Uxsk56VDQ/00001.flac")
    lists = (tmp_path / "age-train.txt", tmp_path / "utt2age.train")
    told = {
        row.utterance: (row.age_years, row.age_source, row.age_conflict_years)
        for row in read(vox, ages=lists)
        if row.age_years
    }
    assert told == {
        "id00012/21Uxsk56VDQ/00001": ((44, 46), "age-train.txt+utt2age.train", 2),
        "id10270/__--__--__-/00001": ((50, 50), "utt2age.train", None),
    }


def test_remarks_say_counts_that_differ_and_what_is_odd_about_ages(vox, tmp_path, section):
    (tmp_path / "a.txt").write_text(AGES + "20.0,1990.0,A,id10003,-abc_DEF-12\n30.0,1990.0,A,id11251,-abc_DEF-12\n")
    assert list(voxceleb.remarks(vox, section("voxceleb", vox, ages=(tmp_path / "a.txt",)))) == [
        "the metadata of VoxCeleb1 lists 2 speakers in its dev set, its publishers count 1211",
        "the metadata of VoxCeleb1 lists 1 speakers in its test set, its publishers count 40",
        "the metadata of VoxCeleb2 lists 1 speakers in its dev set, its publishers count 5994",
        "the metadata of VoxCeleb2 lists 1 speakers in its test set, its publishers count 118",
        "a.txt: 2 of its ages are left out: they name VoxCeleb1's speakers, of whom Enrichment knows none",
    ]
    (vox / "vox1_meta.csv").unlink()
    (vox / "vox2_meta.csv").unlink()
    assert list(voxceleb.remarks(vox, section("voxceleb", vox))) == []


def test_whom_the_metadata_puts_into_voxceleb1_enrichment_tells_no_age_of(vox, read, tmp_path, sound):
    with (vox / "vox1_meta.csv").open("a") as file:
        file.write("id20000\tLater\tf\tUSA\tdev\n")
    sound(vox, "wav/id20000/21Uxsk56VDQ/00001.wav")
    (tmp_path / "a.txt").write_text(AGES.replace("id00012", "id20000"))
    assert {row.age_years for row in read(vox, ages=(tmp_path / "a.txt",))} == {None}


def test_aliases_are_the_names_of_voxceleb1s_speakers(vox, section):
    assert voxceleb.aliases(vox, section("voxceleb", vox)) == {
        "A.J._Buckley": "id10001",
        "Zoë_Kravitz": "id10003",
        "Eartha_Kitt": "id10270",
    }


def test_published_trials_are_named_as_utterances_are(vox, section, tmp_path):
    (tmp_path / "veri_test.txt").write_text(
        "\ufeff1 id10003/-abc_DEF-12/00001.wav id10003/-abc_DEF-12/00012.wav\r\n\r\n"
        "0 wav/id10270/__--__--__-/00001.flac A.J._Buckley/1zcIwhmdeo4_0000001.wav\r\n",
        newline="",
    )
    (tmp_path / "list_test_hard.txt").write_text("0 id00012/21Uxsk56VDQ/00001 id10003/-abc_DEF-12/00001.m4a\n")
    lists = (tmp_path / "veri_test.txt", tmp_path / "list_test_hard.txt")
    one, two = "id10003/-abc_DEF-12/00001", "id10003/-abc_DEF-12/00012"
    assert list(voxceleb.published_trials(vox, section("voxceleb", vox, trials=lists))) == [
        PublishedTrial(list="veri_test", enrol=one, test=two, is_target=True),
        PublishedTrial(
            list="veri_test", enrol="id10270/__--__--__-/00001", test="id10001/1zcIwhmdeo4/00001", is_target=False
        ),
        PublishedTrial(list="list_test_hard", enrol="id00012/21Uxsk56VDQ/00001", test=one, is_target=False),
    ]
    assert list(voxceleb.published_trials(vox, section("voxceleb", vox))) == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "ROOT/t.txt: empty; expected lines of `1|0 path path`"),
        ("2 a b\n", "ROOT/t.txt:1: '2 a b'; expected `1|0 path path`"),
        (
            "\n1 id10003/-abc_DEF-12/00001.wav\n",
            "ROOT/t.txt:2: '1 id10003/-abc_DEF-12/00001.wav'; expected `1|0 path path`",
        ),
        (
            "1 id10003/-abc_DEF-12/00001.wav id10003/00001.wav\n",
            "ROOT/t.txt:1: 'id10003/00001.wav'; expected id10001/1zcIwhmdeo4/00001.wav below whatever folders",
        ),
        (
            "1 id10003/-abc_DEF-12/00001.wav Nobody/-abc_DEF-12/00001.wav\n",
            "ROOT/t.txt:1: 'Nobody/-abc_DEF-12/00001.wav': 'Nobody' is no id of a speaker; expected one, or a `meta` "
            "(vox1_meta.csv) in which it is a VGGFace1 ID",
        ),
    ],
)
def test_a_line_that_is_no_trial_is_refused_by_file_and_line(vox, section, text, told):
    (vox / "t.txt").write_text(text)
    act = lambda: list(voxceleb.published_trials(vox, section("voxceleb", vox, trials=(vox / "t.txt",))))  # noqa: E731
    assert refusal(act, vox) == told


def test_two_lists_of_trials_of_one_name_are_refused(vox, section):
    both = section("voxceleb", vox, trials=(vox / "a/t.txt", vox / "b/t.txt"))
    told = refusal(lambda: list(voxceleb.published_trials(vox, both)), vox)
    assert told == "2 lists of trials are called 't'; expected files of different names"


def test_checksums_are_md5s_of_the_archives():
    assert len(voxceleb.CHECKSUMS) == 16
    assert all(len(bytes.fromhex(md5)) == 16 for md5 in voxceleb.CHECKSUMS.values())


VOX1 = HEADER + "id10003\tZoë_Kravitz\tf\tUSA\tdev\nid10270\tEartha_Kitt\tf\tTrinidad and Tobago\ttest\n"
VOX2 = "VoxCeleb2 ID ,VGGFace2 ID ,Gender ,Set\nid00012 ,n000012 ,m ,dev\n"
TRIALS = "1 id10003/-abc_DEF-12/00001.wav id10003/-abc_DEF-12/00012.wav\n0 id10003/-abc_DEF-12/00001.wav ../../x\n"
UTT2AGE = "id00012/21Uxsk56VDQ/00001 43\nid10003/-abc_DEF-12 30\n"


@st.composite
def damaged(draw, text):
    """Bytes flipped, put in and taken out; columns, delimiters, ends of lines and normal forms changed; lines twice."""
    form, mark = draw(st.sampled_from(["NFC", "NFD"])), draw(st.sampled_from(["", "\ufeff"]))
    old, new = draw(
        st.sampled_from(
            [("x", "x"), ("\t", ","), (",", ";"), ("\n", "\r\n"), ("Set", "set"), ("id", '"id'), ("1", "-")]
        )
    )
    lines = unicodedata.normalize(form, mark + text).replace(old, new).splitlines(keepends=True)
    content = bytearray("".join(draw(st.lists(st.sampled_from(lines), max_size=6)) or lines).encode())
    for _ in range(draw(st.integers(0, 2))):
        at, byte = draw(st.integers(0, len(content))), draw(st.integers(0, 255))
        content[at : at + draw(st.integers(0, 2))] = draw(st.sampled_from([b"", bytes([byte]), b"\0", b'"', b"\n"]))
    return bytes(content)


@pytest.fixture(scope="module")
def vox_of_junk(tmp_path_factory, sound):
    paths = ("wav/id10003/-abc_DEF-12/00001.wav", "Zoë_Kravitz/1zcIwhmdeo4_0000001.wav")
    return sound(tmp_path_factory.mktemp("junk"), *paths, "aac/id00012/21Uxsk56VDQ/00001.wav")


@settings(deadline=None, max_examples=200)
@given(vox1=damaged(VOX1), vox2=damaged(VOX2), ages=damaged(AGES) | damaged(UTT2AGE), trials=damaged(TRIALS))
def test_any_bytes_of_metadata_are_rows_below_the_root_or_one_line_of_error(vox_of_junk, vox1, vox2, ages, trials):
    root = vox_of_junk
    for name, content in {"vox1_meta.csv": vox1, "vox2_meta.csv": vox2, "ages": ages, "trials": trials}.items():
        (root / name).write_bytes(content)
    given_to = READERS["voxceleb"].Settings(
        reader="voxceleb", name="toy", root=root, ages=(root / "ages",), trials=(root / "trials",)
    )
    said, errors = [], []
    for function in (voxceleb.rows, voxceleb.remarks, voxceleb.published_trials, voxceleb.aliases):
        try:
            said += function(root, given_to)
        except CorpusError as error:
            errors.append(str(error))
    assert all("\n" not in error and "; expected " in error for error in errors)
    paths = [row.path for row in said if isinstance(row, Described)]
    assert all((root / path).resolve().is_relative_to(root.resolve()) for path in paths)


@pytest.mark.real
def test_the_real_metadata_names_all_speakers_and_two_more_test_speakers_than_published(corpora, section):
    meta = tuple(corpora / "voxceleb-metadata" / name for name in ("vox1_meta.csv", "vox2_meta.csv"))
    known = voxceleb.speakers(meta)
    assert Counter((said.part, said.corpus_split) for said in known.values()) == {
        (1, "dev"): 1_211,
        (1, "test"): 40,
        (2, "dev"): 5_994,
        (2, "test"): 120,
    }
    assert Counter((said.part, said.sex) for said in known.values()) == {
        (1, "male"): 690,
        (1, "female"): 561,
        (2, "male"): 3_763,
        (2, "female"): 2_351,
    }
    assert len({said.nationality for said in known.values()} - {None}) == 36
    root = corpora / "voxceleb-metadata"
    assert list(voxceleb.remarks(root, section("voxceleb", root))) == [
        "the metadata of VoxCeleb2 lists 120 speakers in its test set, its publishers count 118"
    ]
    assert len(voxceleb.aliases(root, section("voxceleb", root))) == 1_251


@pytest.mark.real
def test_real_ids_and_videos_join_with_real_metadata_and_ages(corpora, tmp_path, sound, read):
    """Audio is made up: speakers, their videos and ages are not."""
    lists = corpora / "voxceleb-metadata"
    meta = (lists / "vox1_meta.csv", lists / "vox2_meta.csv")
    sound(tmp_path, "dev/wav/A.J._Buckley/1zcIwhmdeo4_0000001.wav", "test/wav/id10270/x6uYqmx31kE/00001.wav")
    sound(tmp_path, "aac/id02022/Ahk1sThoa0c/00001.flac", "aac/id00778/DoazlQs250s/00001.flac")
    rows = read(tmp_path, meta=meta, ages=(lists / "age-train.txt", lists / "age-test.txt"))
    assert [(r.utterance, r.sex, r.nationality, r.corpus_split, r.age_years, r.age_source) for r in rows] == [
        ("id00778/DoazlQs250s/00001", "male", None, "dev", (26, 26), "age-test.txt"),
        ("id02022/Ahk1sThoa0c/00001", "male", None, "dev", (44, 44), "age-train.txt"),
        ("id10001/1zcIwhmdeo4/00001", "male", "Ireland", "dev", None, None),
        ("id10270/x6uYqmx31kE/00001", "female", "USA", "test", None, None),
    ]


def test_files_that_the_user_brings_are_looked_for_beside_the_pipeline_file(tmp_path):
    (tmp_path / "p.toml").write_text(
        'name = "b"\ncatalog = "c"\n[splits]\nnum_test_speakers = 2\n[[corpora]]\nreader = "voxceleb"\nname = "vox"\n'
        'root = "elsewhere"\nmeta = ["m.csv"]\nages = ["lists/a.txt"]\ntrials = ["veri_test.txt"]\n'
    )
    (corpus,) = load_pipeline(tmp_path / "p.toml").corpora
    told = (tmp_path / "m.csv", tmp_path / "lists/a.txt", tmp_path / "veri_test.txt")
    assert (*corpus.meta, *corpus.ages, *corpus.trials) == told
