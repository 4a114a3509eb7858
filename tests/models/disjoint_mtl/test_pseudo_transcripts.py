"""Transcripts by Whisper: what the library writes, into manifests of every form, by a command that may be stopped.

The network is made here in the layout of openai/whisper-base, tiny and with random weights: it writes letters.
"""

import csv
import json
import re
import sys
from dataclasses import replace
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    GenerationConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperTokenizer,
)

from curate.errors import CorpusError, ExtractorError
from models.disjoint_mtl import pseudo_transcripts
from models.disjoint_mtl.pseudo_transcripts import Asked, fill
from models.disjoint_mtl.whisper import FILES, Whisper, parts

RATE_HZ = 16_000
END, START, NO_STAMPS = "<|endoftext|>", "<|startoftranscript|>", "<|notimestamps|>"
SPECIAL = (END, START, "<|en|>", "<|vi|>", "<|translate|>", "<|transcribe|>", "<|startofprev|>", NO_STAMPS)
STAMPS = tuple(f"<|{0.02 * step:.2f}|>" for step in range(1501))
NAMES = ("one", "two", "three", "four")
SECONDS = (0.5, 1.1, 0.8, 1.6)


def published(folder, *, is_multilingual=True, seed=0, **told):
    """As openai/whisper-base is; it writes up to eight letters."""
    folder.mkdir()
    bytes_told = {one: code for code, one in enumerate(sorted(ByteLevel.alphabet()))}
    (folder / "vocab.json").write_text(json.dumps(bytes_told))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    texts = WhisperTokenizer(vocab=bytes_told, merges=[], unk_token=END, bos_token=END, eos_token=END)
    texts.add_special_tokens({"additional_special_tokens": list(SPECIAL[1:])})
    texts.add_tokens(list(STAMPS))
    texts.save_pretrained(folder)
    code = {one: texts.convert_tokens_to_ids(one) for one in SPECIAL}
    assert len({*code.values()}) == len(SPECIAL)
    sizes = {f"{side}_{what}": num for side in ("encoder", "decoder") for what, num in (("layers", 1), ("ffn_dim", 16))}
    sizes |= {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "num_mel_bins": 8, "d_model": 16}
    of_codes = {"decoder_start_token_id": code[START], "eos_token_id": code[END], "pad_token_id": code[END]}
    of_codes |= {"bos_token_id": code[END]}
    torch.manual_seed(seed)
    network = WhisperForConditionalGeneration(
        WhisperConfig(vocab_size=len(texts), init_std=0.6, max_target_positions=16, **sizes, **of_codes, **told)
    )
    letters = {bytes_told[chr(one)] for one in range(ord("a"), ord("z") + 1)}
    network.generation_config = GenerationConfig(
        **of_codes,
        is_multilingual=is_multilingual,
        lang_to_id={one: code[one] for one in ("<|en|>", "<|vi|>")},
        task_to_id={one: code[f"<|{one}|>"] for one in ("translate", "transcribe")},
        no_timestamps_token_id=code[NO_STAMPS],
        suppress_tokens=[one for one in range(len(texts)) if one not in letters],
        max_length=12,
    )
    network.save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=8).save_pretrained(folder)
    assert {*FILES, "model.safetensors"} <= {path.name for path in folder.iterdir()}
    return folder


@pytest.fixture(scope="module")
def whisper_folder(tmp_path_factory):
    return published(tmp_path_factory.mktemp("published") / "whisper")


def noise(seconds, seed):
    wave = np.random.default_rng(seed).normal(size=round(seconds * RATE_HZ))
    return (0.1 * wave * np.sin(np.arange(len(wave)) / (300 + 200 * seed))).astype(np.float32)


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sounds")
    for seed, (name, seconds) in enumerate(zip(NAMES, SECONDS, strict=True)):
        soundfile.write(folder / f"{name}.wav", noise(seconds, seed), RATE_HZ, subtype="FLOAT")
    return folder


@cache
def of_library(folder):
    """Its own classes."""
    kinds = (WhisperFeatureExtractor, WhisperForConditionalGeneration, WhisperTokenizer)
    return [kind.from_pretrained(folder) for kind in kinds]


def by_library(folder, wave, **asked):
    """What the library's own classes write."""
    features, network, texts = of_library(folder)
    heard = features(wave, sampling_rate=RATE_HZ, return_tensors="pt")["input_features"]
    return texts.batch_decode(network.generate(heard, **asked), skip_special_tokens=True)[0]


@pytest.mark.parametrize("language", ["en", None])
def test_what_is_written_is_what_the_library_writes(language, whisper_folder):
    waves = [noise(seconds, seed) for seed, seconds in enumerate(SECONDS)]
    asked = {"task": "transcribe"} | ({} if language is None else {"language": language})
    expected = [by_library(whisper_folder, wave, **asked) for wave in waves]
    whisper = Whisper(str(whisper_folder), device="cpu", language=language)
    assert whisper.read(waves) == expected
    assert [whisper.read([wave])[0] for wave in waves] == expected
    assert all(re.fullmatch("[a-z]+", text) for text in expected)
    assert len({*expected}) > 1


def test_of_another_language_nothing_is_written(whisper_folder):
    waves = [noise(seconds, seed) for seed, seconds in enumerate(SECONDS)]
    features, network, _ = of_library(whisper_folder)
    heard = features(waves, sampling_rate=RATE_HZ, return_tensors="pt")["input_features"]
    told = network.detect_language(heard).tolist()
    code = network.generation_config.lang_to_id
    assert {*told} <= {*code.values()}
    for language in ("en", "vi"):
        found = Whisper(str(whisper_folder), device="cpu", language=language, only=True).read(waves)
        assert [bool(text) for text in found] == [one == code[f"<|{language}|>"] for one in told]


def test_the_language_of_more_than_thirty_seconds_is_that_of_their_first_part(whisper_folder):
    """An utterance is written whole or not at all, whatever is heard in its other parts."""
    features, network, _ = of_library(whisper_folder)
    loud, quiet = noise(26.0, 1), 1e-3 * noise(26.0, 1)
    pause = np.zeros(RATE_HZ // 2, np.float32)
    both = [np.concatenate([one, pause, other]) for one, other in ((loud, quiet), (quiet, loud))]
    of_parts = [part for wave in both for part in parts(wave)]
    heard = features(of_parts, sampling_rate=RATE_HZ, return_tensors="pt")["input_features"]
    code = network.generation_config.lang_to_id
    assert network.detect_language(heard).tolist() == [code[f"<|{one}|>"] for one in ("en", "vi", "vi", "en")]
    whole = Whisper(str(whisper_folder), device="cpu", language="en").read(both)
    assert all(len(text.split()) == 2 for text in whole)
    assert Whisper(str(whisper_folder), device="cpu", language="en", only=True).read(both) == [whole[0], ""]


def test_a_network_of_english_alone_is_asked_for_no_language(tmp_path):
    folder = published(tmp_path / "english", is_multilingual=False)
    wave = noise(0.7, 3)
    assert Whisper(str(folder), device="cpu", language="en").read([wave]) == [by_library(folder, wave)]
    with pytest.raises(ExtractorError, match=r"english: knows English alone; expected --language en, or a multi"):
        Whisper(str(folder), device="cpu", language="vi")
    with pytest.raises(ExtractorError, match=r"english: tells no languages apart; expected a multilingual network"):
        Whisper(str(folder), device="cpu", language="en", only=True)
    with pytest.raises(ExtractorError, match=r"english: --only without --language; expected one, such as --language"):
        Whisper(str(folder), device="cpu", only=True)


def test_more_than_thirty_seconds_are_read_in_parts(whisper_folder):
    wave = np.concatenate([noise(28.0, 1), np.zeros(RATE_HZ // 2, np.float32), noise(4.0, 2)])
    first, second = parts(wave)
    assert 28.0 < len(first) / RATE_HZ < 28.5
    whisper = Whisper(str(whisper_folder), device="cpu")
    assert whisper.read([wave, wave[:0]]) == [" ".join(whisper.read([first]) + whisper.read([second])), ""]


@settings(max_examples=25)
@given(st.integers(0, 70 * RATE_HZ), st.integers(0, 2**32 - 1))
def test_parts_are_all_of_it_in_order_and_end_where_it_is_quiet(length, seed):
    wave = np.random.default_rng(seed).random(length, dtype=np.float32)
    found = parts(wave)
    np.testing.assert_array_equal(np.concatenate(found), wave)
    assert all(25 * RATE_HZ <= len(part) <= 30 * RATE_HZ for part in found[:-1])
    assert len(found[-1]) <= 30 * RATE_HZ
    silence = RATE_HZ * 51 // 2 + seed % (4 * RATE_HZ)
    quiet = np.concatenate([np.ones(silence, np.float32), np.zeros(RATE_HZ // 2, np.float32), wave, wave, wave, wave])
    if len(quiet) > 30 * RATE_HZ:
        assert silence < len(parts(quiet)[0]) < silence + RATE_HZ // 2


# ------------------------------------------------------------------------------------------------------- of a manifest


class HearsLengths:
    """Writes how many samples it hears, and dies when it has read so many utterances."""

    most, num_read = 100, 0

    def __init__(self, model, *, device, language, only):
        pass

    def read(self, waves):
        if HearsLengths.num_read + len(waves) > HearsLengths.most:
            raise KeyboardInterrupt
        HearsLengths.num_read += len(waves)
        return [f"{len(wave)} samples, «heard»" if len(wave) else "" for wave in waves]


@pytest.fixture
def hears_lengths(monkeypatch):
    monkeypatch.setattr(pseudo_transcripts, "Whisper", HearsLengths)
    monkeypatch.setattr(HearsLengths, "num_read", 0)
    return HearsLengths


ROWS = [
    {"path": "one.wav", "speaker": "a", "note": 'of "one", he said', "transcript": "it is known"},
    {"path": "two.wav", "speaker": "a", "note": "", "transcript": ""},
    {"path": "three.wav", "speaker": "b", "note": " blanks ", "transcript": ""},
    {"path": "four.wav", "speaker": "b", "note": "đ", "transcript": ""},
]
HEARD = [f"{round(seconds * RATE_HZ)} samples, «heard»" for seconds in SECONDS]


def write(path, rows):
    """Cells as text; `rows` have the same keys."""
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row | {"more": [1, {"a": 2.5}]}) + "\n" for row in rows))
    elif path.suffix == ".parquet":
        table = pa.Table.from_pylist([row | {"more": [1, 2]} for row in rows])
        pq.write_table(table.replace_schema_metadata({"about": "it"}), path)
    else:
        tabs = {"delimiter": "\t", "quoting": csv.QUOTE_NONE, "quotechar": None} if path.suffix == ".tsv" else {}
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, **tabs).writerows([list(rows[0]), *(list(row.values()) for row in rows)])
    return path


def read(path):
    """The rows, and what else there is."""
    if path.suffix == ".jsonl":
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return [{key: one for key, one in row.items() if key != "more"} for row in rows], [row["more"] for row in rows]
    if path.suffix == ".parquet":
        table = pq.read_table(path)
        more = (table["more"].to_pylist(), table.schema.metadata, table.schema.field("transcript").type)
        return [{key: one or "" for key, one in row.items()} for row in table.drop("more").to_pylist()], more
    tabs = {"delimiter": "\t", "quoting": csv.QUOTE_NONE} if path.suffix == ".tsv" else {}
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, **tabs)), None


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("is_column_there", [True, False])
@pytest.mark.parametrize("again", [True, False])
def test_a_manifest_is_filled_where_it_is_empty_and_else_as_it_was(
    suffix, is_column_there, again, sounds, hears_lengths, tmp_path
):
    rows = ROWS if is_column_there else [{key: row[key] for key in row if key != "transcript"} for row in ROWS]
    manifest = write(tmp_path / f"all{suffix}", rows)
    out = tmp_path / "made" / f"filled{suffix}"
    said = fill(Asked(manifest=manifest, out=out, root=sounds, again=again, batch=3))
    kept = int(is_column_there and not again)
    assert said == f"{out}: {4 - kept} transcripts written, 0 of them empty; {kept} were there"
    before, after = read(write(tmp_path / f"with{suffix}", ROWS)), read(out)
    texts = [*(["it is known"] if kept else []), *HEARD[kept:]]
    assert after[0] == [row | {"transcript": text} for row, text in zip(rows, texts, strict=True)]
    assert after[1] == before[1], "columns of other kinds, and of Parquet what is said of the table"
    assert [path.name for path in out.parent.iterdir()] == [out.name]
    assert hears_lengths.num_read == 4 - kept


def test_a_command_that_was_stopped_goes_on_and_makes_the_same(sounds, hears_lengths, tmp_path, monkeypatch):
    manifest = write(tmp_path / "all.csv", ROWS)
    fill(Asked(manifest=manifest, out=tmp_path / "whole.csv", root=sounds))
    asked = Asked(manifest=manifest, out=tmp_path / "stopped.csv", root=sounds)
    monkeypatch.setattr(hears_lengths, "most", 3 + 2)
    with pytest.raises(KeyboardInterrupt):
        fill(asked)
    assert hears_lengths.num_read == 3 + 2
    assert not asked.out.exists()
    with asked.part.open("a") as notes:
        notes.write('[3, "half a li')
    with pytest.raises(
        CorpusError, match=r"stopped\.csv\.part: was begun with another manifest or in other words; exp"
    ):
        fill(Asked(manifest=manifest, out=asked.out, root=sounds, model="another"))
    for change in ({"root": tmp_path}, {"fields": {"name": "note"}}):
        with pytest.raises(CorpusError, match="was begun with another manifest or in other words"):
            fill(replace(asked, **change))
    monkeypatch.setattr(hears_lengths, "most", 100)
    fill(asked)
    assert hears_lengths.num_read == 3 + 3
    assert asked.out.read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert not asked.part.exists()
    for unfinished in ("", '{"manifest": "12'):  # killed before the first line was on the disk
        asked.part.write_text(unfinished)
        asked.out.unlink()
        fill(asked)
        assert asked.out.read_bytes() == (tmp_path / "whole.csv").read_bytes()
    asked.part.write_text("no notes\n")
    asked.out.unlink()
    with pytest.raises(CorpusError, match="was begun with another manifest"):
        fill(asked)


def test_a_stretch_is_heard_alone_and_what_cannot_be_read_is_told(sounds, hears_lengths, tmp_path, capsys):
    rows = [
        {"wav": "two.wav", "speaker": "a", "start_s": "0.25", "duration_s": "0.5"},
        {"wav": "two.wav", "speaker": "a", "start_s": "0.5", "duration_s": ""},
        {"wav": "gone.wav", "speaker": "b", "start_s": "", "duration_s": ""},
    ]
    out = tmp_path / "filled.tsv"
    said = fill(Asked(manifest=write(tmp_path / "all.tsv", rows), out=out, root=sounds, fields={"path": "wav"}))
    assert said.endswith("3 transcripts written, 1 of them empty; 0 were there")
    expected = [f"{num} samples, «heard»" for num in (8_000, round(1.1 * RATE_HZ) - 8_000)]
    assert [row["transcript"] for row in read(out)[0]] == [*expected, ""]
    assert re.search(r"not heard: .*gone\.wav: [^\n]*expected a readable file", capsys.readouterr().out)


def command(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["pseudo_transcripts", *map(str, words)])
    pseudo_transcripts.main()


def test_the_command_hears_as_the_library_does(sounds, whisper_folder, tmp_path, monkeypatch, capsys):
    rows = [{"path": f"{name}.wav", "speaker": "a"} for name in NAMES]
    manifest, out = write(sounds / "all.jsonl", rows), sounds / "filled.jsonl"
    words = ["--model", whisper_folder, "--language", "en", "--device", "cpu", "--batch", "2"]
    command(monkeypatch, manifest, out, *words)
    told = {"task": "transcribe", "language": "en"}
    expected = [by_library(whisper_folder, noise(seconds, seed), **told) for seed, seconds in enumerate(SECONDS)]
    assert [row["transcript"] for row in read(out)[0]] == expected
    assert capsys.readouterr().out == f"{out}: 4 transcripts written, 0 of them empty; 0 were there\n"
    with pytest.raises(SystemExit, match=r"filled\.jsonl: is there already; expected a file that is not$"):
        command(monkeypatch, manifest, out, *words)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["all.csv", "filled.tsv"], r"^all\.csv, filled\.tsv: are not of one form; expected both with one of \.csv"),
        (["gone.csv", "filled.csv"], r"gone\.csv: No such file or directory; expected a table of utterances"),
        (["all.csv", "filled.csv", "--field", "wav=path"], r"^--field wav: expected one of path, speaker, name"),
        (["all.csv", "filled.csv", "--field", "path=wav"], r"all\.csv:2: no column 'wav' that says the path"),
        (["all.csv", "filled.csv", "--device", "gpu"], r"^device 'gpu': expected auto, cpu, cuda or one such as"),
        (["all.csv", "filled.csv", "--language", "xx"], r"whisper: no language 'xx'; expected one of en, vi$"),
        (
            ["all.csv", "filled.csv", "--model", "nowhere"],
            r"^nowhere: no such folder.*\(`hf download openai/whisper-base",
        ),
        (
            ["all.csv", "filled.csv", "--model", "some/whisper"],
            r"^some/whisper: not whole in the cache.* `hf download some",
        ),
    ],
)
def test_what_is_wrong_is_one_line_and_leaves_nothing(
    words, said, whisper_folder, tmp_path, monkeypatch, hub_cache, no_network
):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "all.csv", ROWS)
    model = [] if "--model" in words else ["--model", whisper_folder]
    with pytest.raises(SystemExit) as told:
        command(monkeypatch, *words, *model)
    assert re.search(said, str(told.value.code))
    assert "\n" not in str(told.value.code)
    assert [path.name for path in tmp_path.iterdir()] == ["all.csv"]


def test_a_place_that_cannot_be_written_is_one_line(sounds, hears_lengths, tmp_path, monkeypatch):
    manifest = write(tmp_path / "all.csv", ROWS)
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit, match=rf"^{tmp_path}/file: (File exists|Not a directory)$"):
        command(monkeypatch, manifest, tmp_path / "file" / "filled.csv", "--root", sounds)


@pytest.mark.parametrize("words", [["--batch", "0"], ["--field", "path"]])
def test_words_that_say_nothing_are_told(words, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        command(monkeypatch, "all.csv", "filled.csv", *words)
    assert f"{words[0]} {words[1]}: expected " in capsys.readouterr().err


def test_what_is_no_whisper_or_half_of_one_is_told_in_one_line(tmp_path):
    folder = published(tmp_path / "whisper")
    told = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(told | {"model_type": "wav2vec2"}))
    with pytest.raises(
        ExtractorError, match=r"whisper: its model_type is 'wav2vec2'; expected 'whisper', as of [^\n]+$"
    ):
        Whisper(str(folder), device="cpu")
    (folder / "config.json").write_text(json.dumps(told | {"encoder_layers": 2}))
    with pytest.raises(
        ExtractorError, match=r"whisper: its weights lack \d+ parameters, model\.encoder\.layers\.1[^\n]+$"
    ):
        Whisper(str(folder), device="cpu")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ExtractorError, match=r"whisper: no tokenizer\.json in it; expected a folder with [^\n]+$"):
        Whisper(str(folder), device="cpu")
