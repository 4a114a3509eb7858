"""A corpus elsewhere than on this machine gives what the same corpus gives here, by every reader."""

import dataclasses
import errno
import hashlib
import re
import uuid

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
from botocore.exceptions import EndpointConnectionError
from moto.core import set_initial_no_auth_action_count
from s3fs import S3FileSystem

from curate import audio
from curate.corpora import READERS
from curate.corpora.described import files_in
from curate.corpora.listed import sound_of
from curate.errors import CorpusError, DamagedAudioError
from curate.headers import HEAD_BYTES, read_header
from curate.scan import scan
from curate.storage import location, put, read_bytes

RATE = 8000
VIDEO = "id10003/-abc_DEF-12"
readers = pytest.mark.parametrize("name", READERS)


@pytest.fixture
def in_memory():
    """A folder of fsspec's memory, which has folders as a disk does."""
    root = location(f"memory://{uuid.uuid4().hex}")
    yield root
    root.fs.rm(root.path, recursive=True)


def copied(folder, place):
    """All files of a folder, at another place."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            put(place / path.relative_to(folder).as_posix(), path.read_bytes())
    return place


def scanned(settings, folder):
    """All that a scan sets aside and says: tables as rows, remarks with the root as `ROOT`."""
    folder.mkdir()
    found = scan(settings, folder, folder.parent / "memory.sqlite", progress=lambda _: None)
    tables = {path.name: pq.read_table(path).to_pylist() for path in sorted(folder.glob("*.parquet"))}
    remarks = [remark.replace(str(settings.root), "ROOT") for remark in found.remarks]
    return dataclasses.replace(found, remarks=remarks), tables


@readers
def test_a_corpus_elsewhere_is_scanned_as_the_same_here(name, corpus_of, section, in_memory, tmp_path):
    here = corpus_of(name)
    there = copied(here, in_memory / "a corpus [1]")
    expected = scanned(section(name, here, licence="mine"), tmp_path / "here")
    assert scanned(section(name, there, licence="mine"), tmp_path / "there") == expected
    assert expected[0].num_utterances >= 3


# ------------------------------------------------------------------------------------------------------ a server of S3


@pytest.fixture(scope="module")
def server(s3_server):
    """It lists two files a request."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_MAX_ATTEMPTS", "1")
        patch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "2")
        patch.setattr(S3FileSystem, "retries", 1)
        S3FileSystem.clear_instance_cache()
        yield s3_server


@pytest.fixture
def bucket(server):
    """A bucket of its own."""
    place = location(f"s3://{uuid.uuid4().hex}")
    place.fs.mkdir(place.path)
    return place


@pytest.fixture
def asked(bucket, monkeypatch):
    """What is asked of the server: method of S3, and key or prefix with the range of bytes."""
    asked = []
    of = S3FileSystem._call_s3

    async def call(self, method, *more, **words):
        asked.append((method, words.get("Key", words.get("Prefix")), words.get("Range")))
        return await of(self, method, *more, **words)

    monkeypatch.setattr(S3FileSystem, "_call_s3", call)
    return asked


@pytest.mark.parametrize("name", ["librispeech", "huggingface", "voxceleb", "lhotse"])
def test_a_corpus_in_a_bucket_is_scanned_as_the_same_here(name, corpus_of, section, bucket, tmp_path):
    """Of the others the tests above say that they ask for nothing else."""
    here = corpus_of(name)
    there = copied(here, bucket / "a corpus [1]")
    expected = scanned(section(name, here, licence="mine"), tmp_path / "here")
    assert scanned(section(name, there, licence="mine"), tmp_path / "there") == expected


@pytest.mark.real
def test_real_speech_in_a_bucket_is_scanned_and_decoded_as_the_same_here(corpora, section, bucket, tmp_path):
    here = tmp_path / "LibriSpeech"
    for source in sorted((corpora / "LibriSpeech").rglob("*")):
        inner = source.relative_to(corpora / "LibriSpeech")
        if source.is_file() and inner.parts[0] != "train-clean-100":
            (here / inner).parent.mkdir(parents=True, exist_ok=True)
            (here / inner).write_bytes(source.read_bytes())
    there = copied(here, bucket / "LibriSpeech")
    expected = scanned(section("librispeech", here), tmp_path / "here")
    assert scanned(section("librispeech", there), tmp_path / "there") == expected
    rows = expected[1]["utterances.parquet"]
    assert len(rows) > 20
    for row in rows[::10]:
        known = row["content_sha256"]
        assert np.array_equal(*(audio.decode(one / row["path"], content_sha256=known) for one in (here, there)))


def test_lists_that_are_brought_along_lie_in_a_bucket_too(corpus_of, section, bucket, tmp_path):
    here = corpus_of("voxceleb")
    copied(here, bucket / "corpus")
    brought = {"vox1_meta.csv": None, "vox2_meta.csv": None, "out.txt": "id10270\n", "ages.txt": f"{VIDEO} 43\n"}
    brought["veri.txt"] = f"1 {VIDEO}/00001.wav {VIDEO}/00001.wav\n"
    for name, text in brought.items():
        put(bucket / "lists" / name, text.encode() if text else (here / name).read_bytes())
        (tmp_path / name).write_bytes(read_bytes(bucket / "lists" / name))

    def given(folder):
        meta, one = (folder / "vox1_meta.csv", folder / "vox2_meta.csv"), {}
        one |= {"ages": (folder / "ages.txt",), "trials": (folder / "veri.txt",), "exclusions": (folder / "out.txt",)}
        return {"meta": meta} | one

    expected = scanned(section("voxceleb", here, **given(tmp_path)), tmp_path / "here")
    assert scanned(section("voxceleb", bucket / "corpus", **given(bucket / "lists")), tmp_path / "there") == expected
    assert len(expected[1]["published_trials.parquet"]) == 1


def test_what_holds_still_is_not_fetched_again_and_what_changed_is(folder, section, bucket, asked, tmp_path):
    there = copied(folder, bucket / "corpus")
    settings = section("folder", there)
    _, first = scanned(settings, tmp_path / "first")
    sounds = {f"corpus/{row['path']}" for row in first["utterances.parquet"]}
    assert {key for method, key, _ in asked if method == "get_object"} >= sounds
    assert [one for one in asked if one[0] == "head_object" and one[1] in sounds] == []  # the listing tells
    asked.clear()
    _, again = scanned(settings, tmp_path / "again")
    assert again == first
    assert not sounds & {key for _, key, _ in asked}
    changed = first["utterances.parquet"][0]["path"]
    content = bytearray(read_bytes(there / changed))
    content[-1] ^= 1  # as long as before
    put(there / changed, bytes(content))
    asked.clear()
    _, last = scanned(settings, tmp_path / "last")
    assert [key for method, key, _ in asked if method == "get_object" and key in sounds] == [f"corpus/{changed}"]
    hashes = [row["content_sha256"] for row in last["utterances.parquet"] if row["path"] == changed]
    assert set(hashes) == {hashlib.sha256(content).hexdigest()}


def test_what_is_unpacked_into_a_bucket_is_written_once(corpus_of, section, bucket, asked, tmp_path):
    there = copied(corpus_of("huggingface"), bucket / "corpus")
    asked.clear()
    first = scanned(section("huggingface", there), tmp_path / "first")
    assert sum(method == "put_object" for method, *_ in asked) == 2
    asked.clear()
    assert scanned(section("huggingface", there), tmp_path / "second") == first
    assert [method for method, *_ in asked if method == "put_object"] == []


def test_a_root_is_listed_once_a_scan(folder, section, bucket, asked, tmp_path):
    there = copied(folder, bucket / "corpus")
    for name in ("first", "second"):
        asked.clear()
        scanned(section("folder", there), tmp_path / name)
        pages = [one for one in asked if one[0] == "list_objects_v2" and one[1] == "corpus/"]
        num_files = sum(path.is_file() for path in folder.rglob("*"))
        assert num_files // 2 <= len(pages) <= num_files // 2 + 2  # two files a request


def test_marks_of_folders_and_files_of_no_bytes_are_no_sound(folder, section, bucket, tmp_path):
    there = copied(folder, bucket / "corpus")
    for mark in ("", "marked/", "a/"):
        there.fs.pipe_file(f"{there.path}/{mark}", b"")
    assert {path.name for path in files_in(there, "*", "*/*.wav")} == {
        path.name for path in files_in(folder, "*", "*/*.wav")
    }
    put(there / "a" / "empty.wav", b"")
    with pytest.raises(CorpusError, match=r"s3://\S+/corpus/a/empty.wav is empty: 0 bytes; expected a sound file"):
        scanned(section("folder", there), tmp_path / "refused")
    _, kept = scanned(section("folder", there, damaged="keep"), tmp_path / "kept")
    damages = {row["path"]: row["damage"] for row in kept["utterances.parquet"] if row["damage"]}
    assert damages == {"a/empty.wav": "empty"}


def test_a_file_that_a_list_names_and_the_bucket_lacks_is_missing(manifest, section, bucket, tmp_path):
    there = copied(manifest, bucket / "corpus")
    settings = section("manifest", there)
    gone = next(READERS["manifest"].rows(there, settings)).path
    there.fs.rm_file((there / gone).path)
    with pytest.raises(CorpusError, match=rf"{re.escape(str(there / gone))} is missing: no such file"):
        scanned(settings, tmp_path / "scanned")


# -------------------------------------------------------------------------------------------------------------- faults


def refused(settings, folder):
    """The error of a scan: one line that names the root, and what an operating system would have said behind it."""
    with pytest.raises(CorpusError) as told:
        scanned(settings, folder)
    assert str(settings.root) in str(told.value)
    assert len(str(told.value).splitlines()) == 1
    assert "expected" in str(told.value)
    return told.value


def test_a_bucket_that_is_not_there_is_named(section, bucket, tmp_path):
    error = refused(section("folder", location("s3://nobody-has-this/corpus")), tmp_path / "scanned")
    assert "bucket does not exist" in str(error)
    assert isinstance(error.__cause__, OSError)


def test_a_folder_that_is_not_there_is_named(section, bucket, tmp_path):
    error = refused(section("folder", bucket / "corpus"), tmp_path / "scanned")
    assert "no folder" in str(error)


def test_who_may_not_read_is_told_so(folder, section, bucket, tmp_path):
    there = copied(folder, bucket / "corpus")

    @set_initial_no_auth_action_count(0)
    def scan_as_a_stranger():
        return refused(section("folder", there), tmp_path / "scanned")

    error = scan_as_a_stranger()
    assert error.__cause__.errno == errno.EACCES


@pytest.mark.parametrize("at", ["list_objects_v2", "get_object"])
def test_a_server_that_does_not_answer_is_told_and_may_be_asked_again(
    at, folder, section, bucket, tmp_path, monkeypatch
):
    there, of = copied(folder, bucket / "corpus"), S3FileSystem._call_s3

    async def call(self, method, *more, **words):
        if method == at:
            raise EndpointConnectionError(endpoint_url="http://nowhere")
        return await of(self, method, *more, **words)

    with monkeypatch.context() as patch:
        patch.setattr(S3FileSystem, "_call_s3", call)
        error = refused(section("folder", there), tmp_path / "scanned")
    assert "Could not connect to the endpoint" in str(error)
    assert isinstance(error.__cause__, OSError)
    assert scanned(section("folder", there), tmp_path / "again")[0].num_utterances > 2


def test_a_list_that_is_brought_along_and_is_not_there_is_named(folder, section, bucket, tmp_path):
    there = copied(folder, bucket / "corpus")
    missing = bucket / "lists" / "out.txt"
    with pytest.raises(CorpusError, match=rf"^corpus 'toy': exclusions: {missing} is not there; expected"):
        scanned(section("folder", there, exclusions=(missing,)), tmp_path / "scanned")


def test_a_header_that_cannot_be_asked_for_is_no_missing_file(folder, bucket, monkeypatch):
    """Or a stretch that lasts to the end of its file would be taken for a stretch, or the other way round."""
    there = copied(folder, bucket / "corpus")
    sound = next(path for path in sorted(folder.rglob("*.wav")))
    name = sound.relative_to(folder).as_posix()
    assert sound_of(there / name) == sound_of(sound) is not None
    assert sound_of(there / "none.wav") is None
    monkeypatch.setattr(S3FileSystem, "_call_s3", _no_answer)
    with pytest.raises(CorpusError, match=rf"^{there / name}: Could not connect[^\n]+; expected a file"):
        sound_of(there / name)


async def _no_answer(self, method, *more, **words):
    raise EndpointConnectionError(endpoint_url="http://nowhere")


# ------------------------------------------------------------------------------------------------------------ stretches


@pytest.fixture
def long_file(bucket, monkeypatch, tmp_path):
    """A file of 200 s, 6 MB, that counts as long, and the same in the bucket."""
    samples = np.random.default_rng(1).normal(0, 0.1, (200 * RATE, 2))
    soundfile.write(tmp_path / "long.wav", samples, RATE, subtype="PCM_16")
    monkeypatch.setattr(audio, "LONG_FILE_BYTES", 1 << 16)
    put(bucket / "long.wav", (tmp_path / "long.wav").read_bytes())
    return tmp_path / "long.wav", bucket / "long.wav"


def test_stretches_of_a_long_file_are_read_where_they_lie(long_file, asked):
    here, there = long_file
    known = audio.sha256_of(here)
    for start_s, duration_s in ((0.0, 1.0), (125.0, 5.0), (199.5, None), (250.0, 1.0)):
        stretch = {"start_s": start_s, "duration_s": duration_s, "content_sha256": known}
        assert np.array_equal(audio.read(there, **stretch)[0], audio.read(here, **stretch)[0])
    spans = [tuple(map(int, span.removeprefix("bytes=").split("-"))) for _, _, span in asked if span]
    read = sum(end + 1 - start for start, end in spans)
    assert read < 3 * here.stat().st_size  # hashed once, and a little of it read for each
    assert audio.sha256_of(there) == known
    with pytest.raises(CorpusError, match="changed since it was scanned"):
        audio.read(there, content_sha256="0" * 64)


def test_a_long_file_that_was_written_anew_is_hashed_anew(long_file):
    here, there = long_file
    known = audio.sha256_of(here)
    audio.read(there, duration_s=1.0, content_sha256=known)
    content = bytearray(here.read_bytes())
    content[-1] ^= 1
    put(there, bytes(content))
    with pytest.raises(CorpusError, match="changed since it was scanned"):
        audio.read(there, duration_s=1.0, content_sha256=known)


def test_a_read_that_fails_in_a_stretch_is_never_taken_for_its_end(long_file, monkeypatch):
    """To libsndfile a read that fails is the end of the file: it would hand out what there is, or silence."""
    _, there = long_file
    stretch = {"start_s": 100.0, "duration_s": 60.0}
    whole, of = audio.read(there, **stretch)[0], S3FileSystem._call_s3
    left = [0]

    async def call(self, method, *more, **words):
        left[0] -= method == "get_object"
        return await (of if left[0] >= 0 else _no_answer)(self, method, *more, **words)

    def outcome(num_answers):
        left[0] = num_answers
        try:
            return audio.read(there, **stretch)[0]
        except CorpusError as error:
            return error

    monkeypatch.setattr(S3FileSystem, "_call_s3", call)
    found = [outcome(num_answers) for num_answers in range(8)]
    failed = [one for one in found if isinstance(one, CorpusError)]
    assert 3 < len(failed) < 8
    assert {type(error) for error in failed} == {CorpusError}  # another try may read it
    assert all(isinstance(error.__cause__, OSError) and str(there) in str(error) for error in failed)
    assert all(np.array_equal(one, whole) for one in found[len(failed) :])


@pytest.mark.parametrize("as_long", [False, True])
def test_bytes_that_are_the_right_ones_and_no_sound_are_damage(as_long, bucket, monkeypatch):
    monkeypatch.setattr(audio, "LONG_FILE_BYTES", 4 if as_long else 1 << 20)
    put(bucket / "a.wav", b"no sound at all")
    known = audio.sha256_of(bucket / "a.wav")
    with pytest.raises(DamagedAudioError, match=r"s3://\S+/a.wav: cannot be decoded"):
        audio.read(bucket / "a.wav", content_sha256=known)
    with pytest.raises(CorpusError) as told:
        audio.read(bucket / "a.wav", content_sha256="0" * 64)
    assert not isinstance(told.value, DamagedAudioError)
    with pytest.raises(
        CorpusError, match=r"s3://\S+/b.wav: No such file or directory; expected a readable file"
    ) as told:
        audio.read(bucket / "b.wav")
    assert not isinstance(told.value, DamagedAudioError)
    assert isinstance(told.value.__cause__, OSError)


def test_headers_are_read_by_their_first_bytes(long_file, asked):
    here, there = long_file
    assert read_header(there) == read_header(here)
    assert [span for method, _, span in asked if method == "get_object"] == [f"bytes=0-{HEAD_BYTES - 1}"]
    put(there.parent / "empty.wav", b"")
    assert read_header(there.parent / "empty.wav") is None
