"""AI-Hub: JSONs beside audio or in a twin tree, read by paths that a preset or the pipeline file gives."""

import json
import shutil
import unicodedata

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curate.corpora import READERS
from curate.corpora.described import Described
from curate.errors import CorpusError

READER = READERS["aihub"]
F, M = "일반남여_일반통합05_F_14553085_25_수도권_실내", "일반남여_자유대화_M_15716741_39_경상_실내"
CALL = {
    "dataSet": {
        "version": "1.0",
        "typeInfo": {
            "category": "쇼핑",
            "speakers": [
                {"id": "1", "type": "상담사1", "gender": "여", "age": "20대", "telephone_network": "8k"},
                {"id": "2", "type": "고객1", "gender": "알수없음", "age": "알수없음", "telephone_network": "8k"},
            ],
        },
        "dialogs": [
            {"speaker": "1", "audioPath": "D04/J16/S000123/0001.wav", "duration": 0.1, "text": "네 고객님"},
            {"speaker": "2", "audioPath": "D04/J16/S000123/0002.wav", "duration": 0.1, "text": "o/ 반품이요"},
        ],
    }
}


def section(root, **more):
    return READER.Settings(reader="aihub", name="hub", root=root, **more)


def read(root, **more):
    return list(READER.rows(root, section(root, **more)))


def refusal(root, **more):
    with pytest.raises(CorpusError) as caught:
        read(root, **more)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{root}/")


def rows_or_refusal(root, **more):
    """Rows, or none where they are refused: on one line, by no other exception."""
    try:
        return read(root, **more)
    except CorpusError as error:
        told = str(error)
    assert "\n" not in told
    return []


def write(root, path, told, encoding="utf-8"):
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(json.dumps(told, ensure_ascii=False).encode(encoding))


@pytest.fixture
def one(tmp_path, sound):
    """A file with its JSON beside it."""
    sound(tmp_path, "a.wav")

    def make(told, encoding="utf-8"):
        write(tmp_path, "a.json", told, encoding)
        return tmp_path

    return make


@pytest.fixture
def calls(tmp_path, sound):
    """Low-quality telephone speech, one call, as it is unpacked."""
    root = tmp_path / "007.저음질 전화망"
    sound(root, *(f"1.Training/원천데이터_230316/D04/J16/S000123/000{n}.wav" for n in (1, 2)), rate=8000)
    write(root, "1.Training/라벨링데이터_230316/D04/J16/S000123/S000123.json", CALL)
    return root


def test_free_conversation_is_read_to_exactly_these_rows(corpus_of):
    files = "Training/[원천]1.AI챗봇_1", "Validation/[원천]1.AI챗봇_1"
    her = {"speaker": "14553085", "sex": "female", "age_years": (25, 25), "age_source": "label", "language": "ko"}
    expected = [
        Described(
            path=f"{files[0]}/{F}/{F}_06313.wav",
            session="2020-11-02",
            transcript="안녕하세요",
            corpus_split="Training",
            **her,
        ),
        Described(
            path=f"{files[0]}/{F}/{F}_06314.wav",
            session="2020-11-03",
            transcript="(SP:네) 그래요",
            corpus_split="Training",
            **her,
        ),
        Described(
            path=f"{files[1]}/{M}/{M}_00001.wav",
            speaker="15716741",
            session="2020-12-24",
            sex="male",
            age_years=(39, 39),
            age_source="label",
            language="ko",
            corpus_split="Validation",
        ),
    ]
    for preset in ("fcvg", "fcve"):
        assert read(corpus_of("aihub"), preset=preset) == expected


def test_calls_are_read_to_exactly_these_rows(calls):
    folder, call = "1.Training/원천데이터_230316/D04/J16/S000123", "D04/J16/S000123"
    assert read(calls, preset="ltv") == [
        Described(
            path=f"{folder}/0001.wav",
            speaker=f"{call}/1",
            session=call,
            sex="female",
            age_years=(20, 29),
            age_source="label",
            language="ko",
            transcript="네 고객님",
            corpus_split="Training",
        ),
        Described(
            path=f"{folder}/0002.wav",
            speaker=f"{call}/2",
            session=call,
            language="ko",
            transcript="o/ 반품이요",
            corpus_split="Training",
        ),
    ]


def test_labels_of_speakers_can_be_taken_to_hold_beyond_a_call(calls):
    rows = read(calls, preset="ltv", fields={"speaker": "@.speaker", "session": ""})
    assert [(row.speaker, row.session) for row in rows] == [("1", None), ("2", None)]


def test_audio_that_a_json_names_and_is_not_there_is_refused_or_left_out(calls):
    (calls / "1.Training/원천데이터_230316/D04/J16/S000123/0002.wav").unlink()
    told = refusal(calls, preset="ltv")
    assert told == (
        "1.Training/라벨링데이터_230316/D04/J16/S000123/S000123.json: dataSet.dialogs[1]: no audio "
        f"'D04/J16/S000123/0002.wav' below {calls}; expected every file that a JSON names "
        '(`unpaired = "skip"` leaves them out)'
    )
    assert len(read(calls, preset="ltv", unpaired="skip")) == 1


def test_calls_of_one_name_go_with_the_audio_that_is_nearest(calls, sound):
    sound(calls, *(f"2.Validation/원천데이터_230316/D04/J16/S000123/000{n}.wav" for n in (1, 2)), rate=8000)
    write(calls, "2.Validation/라벨링데이터_230316/D04/J16/S000123/S000123.json", CALL)
    assert [row.path.split("/")[0] for row in read(calls, preset="ltv")] == ["1.Training"] * 2 + ["2.Validation"] * 2


@pytest.mark.parametrize("said", ["/etc/passwd", "../../0001.wav", "https://x.org/a.wav", ""])
def test_a_path_in_a_json_never_leads_out_of_the_root(calls, said):
    told = json.loads(json.dumps(CALL))
    told["dataSet"]["dialogs"][0]["audioPath"] = said
    write(calls, "1.Training/라벨링데이터_230316/D04/J16/S000123/S000123.json", told)
    assert "dataSet.dialogs[0]: path " in refusal(calls, preset="ltv")


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC"), ("NFD", "NFD")])
def test_twin_trees_may_be_spelt_in_different_normal_forms(tmp_path, sound, forms):
    audio, label = (unicodedata.normalize(form, "남여_김") for form in forms)
    sound(tmp_path, f"원천/{audio}/{audio}_1.wav")
    write(tmp_path, f"라벨/{label}/{label}_1.json", {"who": "x"})
    (row,) = read(tmp_path, fields={"speaker": "who"})
    assert row.path == f"원천/{audio}/{audio}_1.wav"


def test_labels_say_what_stands_for_what_where_folders_are_not_called_alike(tmp_path, sound):
    sound(tmp_path, "원천데이터/TS_1/a.wav", "원천데이터/TS_2/a.wav")
    for number in "12":
        write(tmp_path, f"라벨링데이터/TL_{number}/a.json", {"who": number})
    fields = {"speaker": "who"}
    assert refusal(tmp_path, fields=fields) == (
        "원천데이터/TS_1/a.wav: no JSON beside it, nor in a folder of the same name; expected one "
        '(`labels` says where, `unpaired = "skip"` leaves such files out)'
    )
    rows = read(tmp_path, fields=fields, labels={"원천데이터": "라벨링데이터", "TS_": "TL_"})
    assert [row.speaker for row in rows] == ["1", "2"]


def test_a_file_without_a_label_does_not_take_that_of_its_namesake(tmp_path, sound):
    sound(tmp_path, "train/audio/1/x.wav", "test/audio/1/x.wav")
    write(tmp_path, "train/label/1/x.json", {"who": "a"})
    assert refusal(tmp_path, fields={"speaker": "who"}).startswith("test/audio/1/x.wav: no JSON beside it")
    (row,) = read(tmp_path, fields={"speaker": "who"}, unpaired="skip")
    assert row.path == "train/audio/1/x.wav"


def test_two_labels_that_fit_equally_are_an_error(tmp_path, sound):
    sound(tmp_path, "audio/1/x.wav")
    for tree in ("b", "c"):
        write(tmp_path, f"{tree}/1/x.json", {"who": "a"})
    told = refusal(tmp_path, fields={"speaker": "who"})
    assert (
        told == "audio/1/x.wav: both 'b/1/x.json' and 'c/1/x.json' fit; "
        "expected one (`labels` says what stands for what)"
    )


def test_stretches_of_one_file_come_from_a_list_of_utterances(one):
    told = {"file": {"day": "20200101"}, "people": [{"id": 1, "sex": "M"}, {"id": "2", "sex": "여성"}]}
    told["turns"] = [
        {"who": "1", "from": 0, "to": 40, "side": 0},
        {"who": "2", "from": "40", "to": "90.0", "side": "1", "text": ["하나", "둘"]},
    ]
    (first, second) = read(
        one(told),
        utterances="turns",
        times="ms",
        fields={
            "speaker": "@.who",
            "start": "@.from",
            "end": "@.to",
            "channel": "@.side",
            "sex": "people[id=@.who].sex",
            "session": "file.day",
            "transcript": "@.text[-1]",
        },
    )
    assert first == Described(
        path="a.wav",
        speaker="1",
        start_s=0.0,
        duration_s=0.04,
        channel=0,
        sex="male",
        session="20200101",
        language="ko",
    )
    assert (second.start_s, second.duration_s, second.channel, second.sex) == (0.04, 0.05, 1, "female")
    assert second.transcript == "둘"


def test_a_pattern_tells_what_the_path_says(tmp_path, sound):
    sound(tmp_path, "kim/2020/a.wav")
    write(tmp_path, "kim/2020/a.json", {"id": "7", "text": "글"})
    pattern = "(?P<who>[^/]+)/(?P<session>[^/]+)/[^/]+"
    (row,) = read(tmp_path, pattern=pattern, fields={"speaker": ("<who>", "id"), "transcript": "text"})
    assert (row.speaker, row.session, row.transcript) == ("kim/7", "2020", "글")
    sound(tmp_path, "flat.wav")
    write(tmp_path, "flat.json", {"id": "7"})
    assert "`pattern` '(?P<who>" in refusal(tmp_path, pattern=pattern, fields={"speaker": ("<who>", "id")})


@pytest.mark.parametrize(
    ("age", "years"),
    [
        (37, (37, 37)),
        ("37세", (37, 37)),
        ("만 37세", (37, 37)),
        ("20대", (20, 29)),
        ("60대 이상", (60, 120)),
        ("60세 이상", (60, 120)),
        ("30~39", (30, 39)),
        ("70+", (70, 120)),
        ("adult", (20, 64)),
        ("알수없음", None),
        ("None", None),
        (None, None),
        (37.0, (37, 37)),
    ],
)
def test_ages_are_read_as_korean_sets_write_them(one, age, years):
    words = {"age": {"adult": "20-64"}}
    (row,) = read(one({"id": "x", "age": age}), fields={"speaker": "id", "age": "age"}, words=words)
    assert (row.age_years, row.age_source) == (years, "label" if years else None)


@pytest.mark.parametrize(
    ("birth", "recorded", "years"),
    [(1990, "2020-11-02 11:22:33", (29, 30)), ("19900101", "2020", (29, 30)), ("", "2020", None), (1990, None, None)],
)
def test_an_age_is_worked_out_from_the_years_of_birth_and_recording(one, birth, recorded, years):
    fields = {"speaker": "id", "birth_year": "born", "recording_year": "day"}
    (row,) = read(one({"id": "x", "born": birth, "day": recorded}), fields=fields)
    assert row.age_years == years


@pytest.mark.parametrize(("sex", "meant"), [("여", "female"), ("남성", "male"), ("F", "female"), ("2", "female")])
def test_sexes_are_read_as_korean_sets_write_them(one, sex, meant):
    (row,) = read(one({"id": "x", "sex": sex}), fields={"speaker": "id", "sex": "sex"}, words={"sex": {"2": "female"}})
    assert row.sex == meant


@pytest.mark.parametrize(
    ("told", "fields", "message"),
    [
        ({"id": "x", "v": "2"}, {"sex": "v"}, "a.json: sex '2'; expected female, male, or a word of `words.sex`"),
        ({"id": "x", "v": "old"}, {"age": "v"}, "a.json: age 'old'; expected years, a range, a decade, or a word that"),
        ({"id": "x", "v": {"w": 1}}, {"age": "v"}, "a.json: `age` at 'v' is an object; expected a text or a number"),
        ({"id": ["x"], "v": 1}, {"age": "v"}, "a.json: `speaker` at 'id' is a list; expected a text or a number"),
        ({"id": "x", "v": True}, {"age": "v"}, "a.json: `age` at 'v' is true or false; expected a text or a number"),
        ({"id": "x", "v": "soon"}, {"start": "v"}, "a.json: start 'soon'; expected a number"),
        ({"id": "x", "v": 1e999}, {"duration": "v"}, None),
        ({"id": "x", "v": -1}, {"start": "v"}, "a.json: a.wav: start_s -1.0; expected seconds from the start"),
        ({"id": "x", "v": "left"}, {"channel": "v"}, "a.json: channel 'left'; expected a number, counted from 0"),
        ({"id": "\ud800", "v": 1}, {"age": "v"}, "a.json: `speaker` at 'id' is '\\ud800' holds what is no text"),
        ({"v": 1}, {"age": "v"}, "a.json: nothing at 'id' for `speaker`; expected one of v"),
        ({"id": None, "v": 1}, {"age": "v"}, "a.json: nothing at 'id' for `speaker`; expected one of id, v"),
        ([{"id": "x"}], {}, "a.json: nothing at 'id' for `speaker`; expected one of [*].id"),
        ("x", {}, "a.json: nothing at 'id' for `speaker`; expected one of no keys"),
    ],
)
def test_a_json_that_makes_no_utterance_is_refused_by_file_and_field(tmp_path, sound, told, fields, message):
    sound(tmp_path, "a.wav")
    (tmp_path / "a.json").write_text(json.dumps(told))
    fields = {"speaker": "id"} | fields
    if message is None:
        assert read(tmp_path, fields=fields)[0].duration_s is None
    else:
        assert refusal(tmp_path, fields=fields).startswith(message)


@pytest.mark.parametrize(
    ("birth", "recorded", "told"),
    [
        ("x", 2020, "year 'x'; expected a year, or a date that starts with it"),
        (2021, 2020, "born '2021', recorded '2020'; expected a year of birth before that of recording"),
        (1890, 2020, "born '1890', recorded '2020'; expected a year of birth before that of recording"),
    ],
)
def test_years_that_make_no_age_are_refused(one, birth, recorded, told):
    fields = {"speaker": "id", "birth_year": "born", "recording_year": "day"}
    assert told in refusal(one({"id": "x", "born": birth, "day": recorded}), fields=fields)


def test_a_field_that_a_preset_does_not_find_is_an_error_that_lists_what_there_is(corpus_of):
    root = corpus_of("aihub")
    told = refusal(root, preset="fcvg", fields={"age": "녹음자정보.나이"})
    assert told == (
        f"Training/[라벨]1.AI챗봇/{F}/{F}_06313.json: neither it nor any other JSON has '녹음자정보.나이' for `age`; "
        "expected one of 발화정보.stt, 발화정보.scriptId, 발화정보.fileNm, 발화정보.recrdTime, 발화정보.recrdQuality, "
        "발화정보.recrdDt, 발화정보.scriptSetNo, 대화정보.recrdEnvrn, 대화정보.colctUnitCode, 대화정보.cityCode, "
        '대화정보.recrdUnit, 녹음자정보.gender, 녹음자정보.recorderId, 녹음자정보.age (`fields` corrects it, and "" '
        "takes it away)"
    )
    assert read(root, preset="fcvg", fields={"age": ""})[0].age_years is None


def test_another_list_of_utterances_is_an_error_that_lists_what_there_is(one):
    told = refusal(one({"id": "x", "items": []}), utterances="turns", fields={"speaker": "@.id"})
    assert told == "a.json: no list at 'turns' for `utterances`; expected one of id, items"


def test_a_json_in_korean_code_needs_the_key_that_says_so(one):
    root = one({"화자": "김"}, encoding="cp949")
    assert refusal(root, fields={"speaker": "화자"}) == ("a.json: byte 4 is no utf-8; expected text in it (`encoding`)")
    assert read(root, fields={"speaker": "화자"}, encoding="cp949")[0].speaker == "김"


def test_a_byte_order_mark_does_no_harm(one):
    assert read(one({"id": "x"}, encoding="utf-8-sig"), fields={"speaker": "id"})[0].speaker == "x"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "a.json: no JSON (Expecting value"),
        (b'{"id": "x"', "a.json: no JSON ("),
        (b'{"id": "x", "id": "y"}', "a.json: no JSON (key 'id' twice)"),
        (b"[" * 100_000, "a.json: no JSON ("),
        (b'{"id": ' + b"9" * 5000 + b"}", "a.json: no JSON ("),
        (b'{"id": {"id": ' * 200 + b"1" + b"}}" * 200, "a.json: `speaker` at 'id' is an object"),
    ],
)
def test_what_is_no_json_is_refused_by_its_file(tmp_path, sound, content, told):
    sound(tmp_path, "a.wav")
    (tmp_path / "a.json").write_bytes(content)
    assert refusal(tmp_path, fields={"speaker": "id"}).startswith(told)


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({}, "no speaker; expected a `preset`, or fields.speaker, or a group"),
        ({"fields": {"speaker": "a..b"}}, "path 'a..b'; expected keys with dots between"),
        ({"fields": {"speaker": "a["}}, r"path 'a\['; expected keys"),
        ({"fields": {"speaker": "<who>"}}, "fields ask for <who>; expected a group"),
        ({"fields": {"speaker": "a"}, "pattern": "("}, "is no regular expression"),
        ({"fields": {"speaker": "a"}, "pattern": "(?P<mood>.*)"}, "pattern has a group 'mood'; expected any of"),
        ({"fields": {"speaker": "a", "birth_year": "b"}}, "has one of birth_year and recording_year"),
        ({"preset": "fcvg", "fields": {"speaker": ""}}, "no speaker"),
        ({"preset": "fcvg", "fields": {"mood": "x"}}, "mood"),
        ({"preset": "fcvg", "encoding": "hex"}, "encoding"),
    ],
)
def test_a_section_that_cannot_work_is_refused_at_once(tmp_path, keys, told):
    with pytest.raises(ValueError, match=told):
        section(tmp_path, **keys)


def test_labels_of_absent_audio_are_remarked(corpus_of, calls):
    root = corpus_of("aihub")
    assert list(READER.remarks(root, section(root, preset="fcvg"))) == []
    next(root.rglob("*.wav")).unlink()
    assert list(READER.remarks(root, section(root, preset="fcvg"))) == [
        "1 JSON files label no audio below the root; they are not read"
    ]
    assert list(READER.remarks(calls, section(calls, preset="ltv"))) == []


@given(data=st.data())
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_labels_give_rows_below_the_root_or_one_line(corpus_of, calls, tmp_path, data):
    preset, whole = data.draw(st.sampled_from([("fcvg", corpus_of("aihub")), ("ltv", calls)]))
    root = tmp_path / "damaged"
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(whole, root)
    label = data.draw(st.sampled_from(sorted(root.rglob("*.json"))))
    content = bytearray(label.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    label.write_bytes(data.draw(st.sampled_from([b"", b"\xef\xbb\xbf"])) + bytes(content))
    rows = rows_or_refusal(root, preset=preset)
    assert all((root / row.path).resolve().is_relative_to(root.resolve()) for row in rows)


ANY = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["id", "a", "b"]) | st.text(), inner),
    max_leaves=8,
)


@given(ANY)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_json_gives_rows_or_one_line(tmp_path, sound, told):
    if not (tmp_path / "a.wav").exists():
        sound(tmp_path, "a.wav")
    (tmp_path / "a.json").write_text(json.dumps(told))
    fields = {"speaker": "id", "sex": "a[0].b[id=a]", "age": "b", "start": "a[:3]", "channel": "a", "session": "b[*]"}
    assert len(rows_or_refusal(tmp_path, fields=fields)) <= 1
    assert len(rows_or_refusal(tmp_path, fields={"speaker": "@.id"}, utterances="a")) < 100


def test_the_layout_of_today_is_read_as_that_of_before(tmp_path, sound):
    tree = "1.Training/{}/1.AI챗봇/1.AI챗봇_{}_자유대화(일반남여)_TRAINING/" + F
    sound(tmp_path, f"{tree.format('원천데이터', 1)}/{F}_06313.wav")
    told = {"발화정보": {"stt": "네", "recrdDt": "2020-11-02 11:22:33"}}
    told["녹음자정보"] = {"gender": "여", "recorderId": "14553085", "age": 25}
    write(tmp_path, f"{tree.format('라벨링데이터', '라벨링')}/{F}_06313.json", told)
    (row,) = read(tmp_path, preset="fcvg")
    assert (row.speaker, row.session, row.corpus_split) == ("14553085", "2020-11-02", "Training")


def test_without_any_label_there_is_nothing(tmp_path, sound):
    sound(tmp_path, "a.wav")
    assert read(tmp_path, fields={"speaker": "id"}, unpaired="skip") == []


def test_utterances_may_be_plain_texts_that_name_their_files(tmp_path, sound):
    sound(tmp_path, "d/a.wav", "d/b.wav")
    write(tmp_path, "x.json", {"files": ["d/a.wav", "d/b.wav"]})
    rows = read(tmp_path, utterances="files", fields={"audio": "@"}, pattern=r"d/(?P<speaker>\w)\.wav")
    assert [(row.path, row.speaker) for row in rows] == [("d/a.wav", "a"), ("d/b.wav", "b")]


def test_a_label_that_leads_nowhere_is_an_error(tmp_path, sound):
    sound(tmp_path, "a.wav")
    (tmp_path / "a.json").symlink_to("gone.json")
    told = refusal(tmp_path, fields={"speaker": "id"})
    assert told == "a.json: No such file or directory; expected a readable file"
