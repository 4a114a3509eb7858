"""Kaldi data directories: files that must agree, commands that are never run, trials, and ids that turn back."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from curate.corpora import READERS
from curate.corpora.described import Described, Enrolment, PublishedTrial
from curate.corpora.kaldi_ids import key_of, names_of, quoted, unquoted
from curate.corpora.pipes import Audio, audio_of
from curate.errors import CorpusError

KALDI = READERS["kaldi"]


@pytest.fixture
def root(corpus_of):
    return corpus_of("kaldi")


@pytest.fixture
def read(root, section):
    def rows(**keys):
        return list(KALDI.rows(root, section("kaldi", root, **keys)))

    return rows


def say(root, path, text):
    (root / "data" / path).write_text(text, encoding="utf-8")


def test_every_utterance_of_every_directory_is_read(read):
    chi = {"path": "wav/call.wav", "speaker": "chi", "channel": 0, "corpus_split": "test"}
    an = {"speaker": "an", "sex": "female", "age_source": "utt2age", "corpus_split": "train"}
    assert read() == [
        Described(name="chi-1", start_s=0.01, duration_s=0.04, **chi),
        Described(name="chi-2", start_s=0.05, **chi),
        Described(name="dung-1", path="wav/call.wav", speaker="dung", channel=1, corpus_split="test"),
        Described(name="an-1", path="wav/an-1.wav", age_years=(34, 34), session="phòng 1", transcript="xin chào", **an),
        Described(name="an-2", path="wav/an 2.flac", age_years=(30, 39), **an),
        Described(
            name="binh-1",
            path="wav/binh-1.wav",
            channel=1,
            speaker="binh",
            sex="male",
            accent="miền Bắc",
            nationality="Việt Nam",
            licence="CC0-1.0",
            transcript="dạ  vâng",
            corpus_split="train",
        ),
    ]


def test_one_directory_has_no_splits(read):
    rows = read(manifest=Path("data/train"))
    assert [(row.utterance, row.corpus_split) for row in rows] == [("an-1", None), ("an-2", None), ("binh-1", None)]


def test_a_directory_may_lie_elsewhere_than_the_audio_and_the_audio_may_have_moved(root, read, section, tmp_path):
    (tmp_path / "lists").mkdir()
    (root / "data/train").rename(tmp_path / "lists/train")
    (tmp_path / "lists/train/wav.scp").write_text(
        f"an-1 /old/corpus/wav/an-1.wav\nan-2 {root}/wav/x.wav\nbinh-1 cat /old/corpus/wav/y.wav |\n"
    )
    rows = read(manifest=tmp_path / "lists/train", moved_from="/old/corpus")
    assert [row.path for row in rows] == ["wav/an-1.wav", "wav/x.wav", "wav/y.wav"]


def test_the_order_of_lines_is_of_no_consequence(root, read):
    before = read()
    for file in (root / "data").glob("*/*"):
        lines = file.read_text(encoding="utf-8").splitlines()
        file.write_text("\n".join(reversed(lines)), encoding="utf-8")
    say(root, "train/spk2utt", "binh binh-1\nan an-2 an-1\n")
    assert read() == before


def test_tabs_blank_lines_a_bom_and_line_ends_of_windows_are_read_over(root, read):
    before = read()
    for file in (root / "data").glob("*/*"):
        text = file.read_text(encoding="utf-8").replace(" ", "\t ", 1).replace("\n", "\r\n")
        file.write_text(f"{text}\r\n", encoding="utf-8-sig", newline="")
    assert read() == before


def test_a_file_that_is_known_in_part_counts_and_language_is_told_or_given(root, read):
    say(root, "train/utt2lang.known", "an-1 en\n")
    (root / "data/train/text").rename(root / "data/train/text.known")
    rows = read(manifest=Path("data/train"), language="vi")
    assert [row.language for row in rows] == ["en", "vi", "vi"]
    assert rows[0].transcript == "xin chào"


def test_sex_may_be_told_of_utterances(root, read):
    (root / "data/train/spk2gender").unlink()
    say(root, "train/utt2gender", "an-1 f\nan-2 female\n")
    assert [row.sex for row in read(manifest=Path("data/train"))] == ["female", "female", None]


def test_a_segment_may_name_its_channel(root, read):
    say(root, "test/wav.scp", "call-A wav/call.wav\ncall-B wav/call.wav\n")
    say(root, "test/segments", "chi-1 call-A 0 0.5 1\nchi-2 call-A 0 -1 0\ndung-1 call-B 1e-2 0.05\n")
    told = [(row.start_s, row.duration_s, row.channel) for row in read(manifest=Path("data/test"))]
    assert told == [(None, None, 1), (None, None, 0), (0.01, 0.04, None)]


@pytest.mark.parametrize(
    ("path", "text", "told"),
    [
        ("train/utt2spk", "an-1 an\nan-1 an\n", r"utt2spk:2: 'an-1' again, after .*utt2spk:1; expected each key once"),
        ("train/utt2spk", "an-1 an x\n", r"utt2spk:1: 'an x'; expected an utterance and its speaker"),
        ("train/utt2spk", "an-1\n", r"utt2spk:1: ''; expected an utterance and its speaker"),
        ("train/utt2spk", "an-1 an\nan-2 an\nan-3 an\n", r"utt2spk:3: 'an-3' is of 'an', but spk2utt lacks it; expe"),
        ("train/spk2utt", "an an-1 an-2 binh-1\n", r"'binh-1' is of 'binh', but .*spk2utt:1 has 'an'; expected the"),
        ("train/spk2utt", "an an-1 an-2 x\nbinh binh-1\n", r"spk2utt:1: 'x' is not in utt2spk; expected the same"),
        ("train/wav.scp", "an-1 a.wav\nan-2 b.wav\n", r"utt2spk:3: 'binh-1' is not in wav\.scp; expected the same"),
        ("train/wav.scp", "an-0 a.wav\nan-1 b.wav\n", r"wav\.scp:1: 'an-0' is not in utt2spk; expected the same"),
        ("train/wav.scp", "an-1 ../x.wav\n", r"wav\.scp:1: path '\.\./x\.wav' leaves .*; expected a `root`"),
        ("train/wav.scp", "an-1\n", r"wav\.scp:1: path ''; expected the path of an audio file"),
        ("train/wav.scp", "an-1 x.ark:17\n", r"wav\.scp:1: 'x\.ark:17' is a stream or a place in an archive; expected"),
        ("train/wav.scp", "an-1 rm x |\n", r"wav\.scp:1: command 'rm x \|': 'rm' is not one .*; commands are not run"),
        ("train/text", "an-1 a\nzoe b\n", r"text:2: 'zoe' is not in utt2spk; expected the same utterances"),
        ("train/spk2gender", "an x\nbinh m\n", r"spk2gender:1: sex 'x'; expected m or f"),
        ("train/spk2gender", "an f\nzoe m\n", r"spk2gender:2: speaker 'zoe' is not in utt2spk; expected the same"),
        ("train/utt2age", "an-1 old\n", r"utt2age:1: age 'old'; expected years \(34\)"),
        ("test/segments", "chi-1 call-A 0.1\n", r"segments:1: 'call-A 0\.1'; expected `recording start end`"),
        ("test/segments", "chi-1 call-C 0 1\n", r"segments:1: recording 'call-C' is not in .*wav\.scp; expected it"),
        ("test/segments", "chi-1 call-A 0.5 0.5\n", r"segments:1: from 0\.5 s to 0\.5 s; expected an end after"),
        ("test/segments", "chi-1 call-A zero 1\n", r"segments:1: 'zero'; expected seconds"),
        ("test/segments", "chi-1 call-A 0 1 0\n", r"segments:1: channel '0'; expected one counted from 0, where"),
        ("test/segments", "chi-1 call-A 0 1\n", r"utt2spk:2: 'chi-2' is not in segments; expected the same"),
        (
            "test/segments",
            "chi-1 call-A 0 1\nchi-2 call-A 0 1\ndung-1 call-A 0 1\n",
            r"wav\.scp: recording 'call-B' has no segment; expected one or more",
        ),
        ("test/reco2dur", "call-A long\n", r"reco2dur:1: 'long'; expected seconds"),
        ("train/text", "an-1 a\0b\n", r"text:1: holds a NUL; expected text"),
    ],
)
def test_lines_that_do_not_agree_are_errors_that_name_the_line(root, read, path, text, told):
    say(root, path, text)
    with pytest.raises(CorpusError, match=told):
        read()


def test_a_segment_is_the_whole_file_only_where_the_file_itself_ends(root, read):
    say(root, "test/reco2dur", "call-A 0.02\ncall-B 0.02\n")
    say(root, "test/segments", "chi-1 call-A 0 0.02\nchi-2 call-A 0 0.10001\ndung-1 call-B 0.0 0.09993\n")
    told = [(row.start_s, row.duration_s) for row in read(manifest=Path("data/test"))]
    assert told == [(0.0, 0.02), (None, None), (0.0, 0.09993)]
    (root / "wav/call.wav").unlink()
    assert [row.duration_s for row in read(manifest=Path("data/test"))] == [0.02, 0.10001, 0.09993]


def test_audio_that_is_a_link_out_is_not_looked_at(root, read, tmp_path):
    (root / "wav/call.wav").rename(tmp_path / "call.wav")
    (root / "wav/call.wav").symlink_to(tmp_path / "call.wav")
    with pytest.raises(CorpusError, match=r"wav/call\.wav leads out of .*; expected what lies below it, or `links"):
        read()
    assert read(links="anywhere")[2].duration_s is None


def test_a_line_without_an_end_is_refused_before_it_fills_the_memory(root, read):
    say(root, "train/text", "an-1 " + "a" * (1 << 21))
    with pytest.raises(CorpusError, match=r"text:1: 1048576 bytes without an end; expected lines of text$"):
        read()


def test_a_speaker_may_have_many_utterances_on_one_line(root, read):
    keys = [f"an-{number:0100}" for number in range(12_000)]
    say(root, "test/spk2utt", "an " + " ".join(keys) + "\n")
    for file, value in (("utt2spk", "an"), ("segments", "call-A 0 0.05")):
        say(root, f"test/{file}", "".join(f"{key} {value}\n" for key in keys))
    say(root, "test/wav.scp", "call-A wav/call.wav\n")
    assert len(read(manifest=Path("data/test"))) == 12_000


def test_what_errors_quote_of_a_file_is_short_and_shown_as_it_is(root, read):
    say(root, "train/utt2spk", "an-1 an " + "\u202e" * 5_000 + "\n")
    with pytest.raises(CorpusError) as caught:
        read(manifest=Path("data/train"))
    assert str(caught.value).endswith("; expected an utterance and its speaker")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1_000


def test_a_folder_without_a_data_directory_is_an_error(root, read):
    with pytest.raises(CorpusError, match=r"wav: no data directory; expected `wav\.scp` and `utt2spk` in it or in fol"):
        read(manifest=Path("wav"))
    (root / "data/train/utt2spk").unlink()
    with pytest.raises(CorpusError, match=r"utt2spk: No such file or directory; expected lines of a key"):
        read(manifest=Path("data/train"))


def test_text_that_is_not_utf8_is_an_error_that_names_the_line(root, read):
    (root / "data/train/text").write_bytes(b"an-1 xin\nan-2 ch\xe0o\n")
    with pytest.raises(CorpusError, match=r"text:2: byte 7 is no UTF-8; expected text in UTF-8"):
        read()


@pytest.mark.parametrize(
    ("said", "audio"),
    [
        ("a.wav", Audio("a.wav")),
        ("/root/a b/c.WAV", Audio("a b/c.WAV")),
        ("flac -c -d -s a.flac |", Audio("a.flac")),
        ("flac -cds 'a b.flac' |", Audio("a b.flac")),
        ("/opt/sph2pipe -f wav -p -c 2 'it'\"'\"'s.sph'|", Audio("it's.sph", 1)),
        ("sph2pipe -f wav a.sph | sox -t wav - -r 16000 -t wav - remix 2 |", Audio("a.sph", 1)),
        ("sph2pipe -f wav -p -c 1 a.sph | sox -t wav - -t wav - remix 1 rate -h 16k |", Audio("a.sph", 0)),
        ("sox a.wav -t wav - |", Audio("a.wav")),
        ("sox -V1 a.wav -t wav -r 8k -b 16 -c 1 - rate 16k remix - |", Audio("a.wav")),
        ("ffmpeg -v 8 -i a.m4a -f wav -acodec pcm_s16le -|", Audio("a.m4a")),
        ("ffmpeg -v error -nostdin -i a.mp3 -af 'pan=mono|c0=c1' -f wav -acodec pcm_s16le - |", Audio("a.mp3", 1)),
        ("ffmpeg -threads 1 -i a.mp3 -ar 16000 -map_channel 0.0.0  -f wav -threads 1 pipe:1 |", Audio("a.mp3", 0)),
        ("ffmpeg -i a.mp3 -f wav - 2>/dev/null |", Audio("a.mp3")),
        ("cat a.wav |", Audio("a.wav")),
        ("cat a.wav | wav-copy - - |", Audio("a.wav")),
        ("wav-copy a.wav - |", Audio("a.wav")),
        ("sox -q -t sph a.sph -b 16 -e signed-integer -t wav - |", Audio("a.sph")),
        ("sph2pipe -p a.sph | ffmpeg -v error -i pipe:0 -ar 16000 -f wav pipe:1 |", Audio("a.sph")),
    ],
)
def test_of_the_usual_commands_the_file_and_the_channel_are_taken(said, audio):
    assert audio_of(said, Path("/root")) == audio


@pytest.mark.parametrize(
    "said",
    [
        "|",
        "wget -O - http://x/a.wav |",
        "cat a.wav; rm -r / |",
        "cat $(rm -r /) |",
        "cat a.wav && rm b |",
        "cat a.wav > b.wav |",
        "cat a.wav b.wav |",
        "cat 'a.wav |",
        "cat - |",
        "cat a.wav | cat b.wav |",
        "flac -c -d -s --skip=10 a.flac |",
        "sox -t raw -r 8000 -e mu-law a.wav -t wav - |",
        "sox -t raw a.wav -t wav - |",
        "sox -r 8000 a.wav -t wav - |",
        "sox -b 8 a.wav -t wav - |",
        "sox -c 1 a.wav -t wav - |",
        "sox a.wav -t raw - | sox -t raw - -t wav - |",
        "sox a.wav -r 8000 -r 16000 -t wav - |",
        "ffmpeg -f s16le -ar 8000 -i a.wav -f wav - |",
        "ffmpeg -ac 2 -i a.wav -f wav - |",
        "ffmpeg -acodec pcm_mulaw -i a.wav -f wav - |",
        "ffmpeg -i a.wav -i b.wav -f wav - |",
        "ffmpeg -i a.wav -f wav -f flac - |",
        "ffmpeg -i |",
        "sph2pipe -f wav -c 1 -c 2 a.sph |",
        "flac -c -d -s |",
        "sph2pipe -t 0:1 a.sph |",
        "sph2pipe -f wav -c 3 a.sph |",
        "sox a.wav -t wav - trim 0 1 |",
        "sox a.wav -t wav - speed 0.9 |",
        "sox a.wav -t wav - remix 1 2 |",
        "sox a.wav -t wav - remix 1 remix 2 |",
        "sox a.wav b.wav |",
        "sox a.wav |",
        "ffmpeg -i a.mp3 -ss 1 -f wav - |",
        "ffmpeg -i a.mp3 -af atempo=2 -f wav - |",
        "ffmpeg -i a.mp3 -af 'pan=mono|c0=c1' -map_channel 0.0.1 -f wav - |",
        "ffmpeg -i a.mp3 -f wav b.wav |",
        "ffmpeg -f wav - |",
        "cat /etc/passwd |",
        "cat ../a.wav |",
        "-",
    ],
)
def test_every_other_command_is_refused_and_none_is_run(said, monkeypatch):
    monkeypatch.setattr("subprocess.Popen.__init__", None)
    with pytest.raises(CorpusError, match="expected"):
        audio_of(said, Path("/root"))


def test_trials_name_utterances_and_models_of_all_that_a_speaker_said(root, section):
    settings = section("kaldi", root)
    assert list(KALDI.published_trials(root, settings)) == [
        PublishedTrial(list="test/trials", enrol="chi-1", test="chi-2", is_target=True),
        PublishedTrial(list="test/trials", enrol="chi-1", test="dung-1", is_target=False),
        PublishedTrial(list="test/trials", enrol="dung", enrol_list="test/spk2utt", test="chi-2", is_target=False),
    ]
    assert list(KALDI.enrolments(root, settings)) == [
        Enrolment(list="test/model2utt", model="m", utterance="chi-1"),
        Enrolment(list="test/model2utt", model="m", utterance="chi-2"),
        Enrolment(list="test/spk2utt", model="dung", utterance="dung-1"),
    ]


def test_models_are_of_the_utterances_that_their_list_says_also_where_a_speaker_has_the_name(root, section):
    say(root, "test/model2utt", "dung  chi-1\tdung-1\nm=20x chi-2\n")
    say(root, "test/trials", "m=20x chi-1 target\ndung chi-2 nontarget\nchi dung-1 nontarget\n")
    settings = section("kaldi", root)
    assert [(one.enrol, one.enrol_list) for one in KALDI.published_trials(root, settings)] == [
        ("m x", "test/model2utt"),
        ("dung", "test/model2utt"),
        ("chi", "test/spk2utt"),
    ]
    assert [(one.list, one.model, one.utterance) for one in KALDI.enrolments(root, settings)] == [
        ("test/model2utt", "dung", "chi-1"),
        ("test/model2utt", "dung", "dung-1"),
        ("test/model2utt", "m x", "chi-2"),
        ("test/spk2utt", "chi", "chi-1"),
        ("test/spk2utt", "chi", "chi-2"),
    ]


def test_a_model_of_nobody_or_in_two_directories_is_an_error(root, section):
    say(root, "test/model2utt", "m chi-1\nn chi-9\n")
    with pytest.raises(CorpusError, match=r"model2utt:2: 'chi-9' is not in utt2spk; expected an utterance"):
        list(KALDI.enrolments(root, section("kaldi", root)))
    say(root, "test/model2utt", "m chi-1\n")
    say(root, "train/model2utt", "m an-1\n")
    with pytest.raises(
        CorpusError, match=r"model2utt:1: model 'm' again, after test/model2utt; expected one of a name"
    ):
        list(KALDI.published_trials(root, section("kaldi", root)))


def test_trials_without_a_key_are_of_unknown_answer(root, section):
    say(root, "test/trials", "chi-1 chi-2\n")
    (trial,) = KALDI.published_trials(root, section("kaldi", root, manifest=Path("data/test")))
    assert (trial.list, trial.is_target) == ("trials", None)


def test_blanks_that_do_not_divide_for_kaldi_are_in_names_and_trials_name_ids(root, section):
    say(root, "train/utt2spk", "an\u00a01 an\n")
    say(root, "train/wav.scp", "an\u00a01 a.wav\n")
    say(root, "train/trials", "an\u00a01 an\u00a01 target\n")
    for file in ("spk2utt", "spk2gender", "text", "utt2age", "utt2session", "utt2accent", "utt2nationality"):
        (root / "data/train" / file).unlink()
    (root / "data/train/utt2licence").unlink()
    settings = section("kaldi", root, manifest=Path("data/train"))
    (row,), (trial,) = KALDI.rows(root, settings), KALDI.published_trials(root, settings)
    assert row.utterance == trial.enrol == trial.test == "an%201"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("chi-1 chi-9 target\n", r"trials:1: 'chi-9' is not in utt2spk; expected an utterance"),
        ("zoe chi-1 target\n", r"trials:1: 'zoe' is not in utt2spk; expected an utterance"),
        ("chi-1 chi-2 1\n", r"trials:1: 'chi-2 1' after 'chi-1'; expected `enrol test target` or `nontarget`"),
        ("chi-1\n", r"trials:1: '' after 'chi-1'; expected `enrol test target` or `nontarget`"),
    ],
)
def test_trials_of_nobody_are_errors(root, section, text, told):
    say(root, "test/trials", text)
    with pytest.raises(CorpusError, match=told):
        list(KALDI.published_trials(root, section("kaldi", root)))


NAMES = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('!"+-=#<>%/ \u00a0\u2028ab20'), min_size=1)


@given(NAMES, NAMES)
def test_ids_are_words_that_turn_back_into_names(speaker, utterance):
    key = key_of(speaker, utterance)
    assert min(key.encode()) > ord(" ")
    assert key.split() == [key]
    assert unquoted(quoted(speaker)) == speaker
    assert names_of(quoted(speaker), key) == (speaker, utterance)


@pytest.mark.parametrize("key", ["id10270-x6uYqmx31kE-00001", "an!x y", "a=2Fb", "an!", "an!=zz"])
def test_ids_that_others_made_are_taken_as_they_are(key):
    assert names_of("an", key) == ("an", key)


DAMAGED = (
    "wav.scp",
    "utt2spk",
    "spk2utt",
    "spk2gender",
    "segments",
    "text",
    "utt2age",
    "reco2dur",
    "trials",
    "model2utt",
)
ODD = st.sampled_from(
    [b"\xef\xbb\xbf", b"\r\n", b"\0", b"\xff", b'"', b"'", b" | ", b"\t", b"../", b"/etc/", "ẵ".encode()]
)


@contextlib.contextmanager
def noting(told):
    try:
        yield
    except CorpusError as error:
        told.append(str(error))
        raise


@hypothesis_settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(DAMAGED),
    cut=st.tuples(st.integers(0, 120), st.integers(0, 30)),
    put=st.lists(ODD | st.binary(max_size=3), max_size=3).map(b"".join),
    twice=st.booleans(),
)
def test_damaged_files_give_rows_below_the_root_or_an_error_of_one_line(root, section, name, cut, put, twice):
    settings = section("kaldi", root)
    for file in sorted((root / "data").glob(f"*/{name}")):
        before = file.read_bytes()
        after = before[: cut[0]] + put + before[sum(cut) :]
        file.write_bytes(after * 2 if twice else after)
        told, rows = [], []
        with contextlib.suppress(CorpusError), noting(told):
            rows = list(KALDI.rows(root, settings))
            list(KALDI.published_trials(root, settings))
        file.write_bytes(before)
        assert all(".." not in row.path and not row.path.startswith("/") for row in rows)
        assert [len(text.splitlines()) for text in told] in ([], [1])
