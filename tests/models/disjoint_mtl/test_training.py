"""Runs of the three kinds of training through the engine: to the end, and on from where one died."""

import csv
import json
import logging
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import soundfile
import torch

from curate.audio import sha256_of
from curate.errors import TrainingError
from models.data.speech import Speech
from models.disjoint_mtl.recipe import DisjointMtlSystem
from models.training import run as running
from models.training.engine import Training
from models.training.recipe import Batches
from models.training.trained import load_run
from tests.models.disjoint_mtl.systems_made import LETTERS, NETWORK, recipe_of, spoken, system_of

TEXTS = ("AB", "CA D", "DB", "BAC", None, "A B?", "EBB")


class DiedError(Exception):
    pass


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    """Words of tones by two voices, and utterances without a text that is known."""
    folder = tmp_path_factory.mktemp("spoken")
    said = [(text, who) for text in TEXTS for who in range(2)]
    for row, (text, who) in enumerate(said):
        heard = "D" if text is None else "".join(one for one in text if one in " ABCD")
        soundfile.write(folder / f"{row:02}.wav", spoken(heard, seed=row, tilt=float(who)), 16_000)
    files = sorted(folder.iterdir())
    return Speech(
        utterance_ids=pa.array([file.stem for file in files]),
        files=files,
        start=np.zeros(len(files), np.int64),
        num_samples=np.array([soundfile.info(file).frames for file in files]),
        sample_rate_hz=np.full(len(files), 16_000),
        channel=np.full(len(files), -1),
        person=np.array([who for _, who in said]),
        people=["low", "high"],
        content_sha256=[sha256_of(file) for file in files],
        transcripts=[text for text, _ in said],
    )


def tiny(name, characters=LETTERS, **changes):
    """Four steps of a recipe in two epochs, the last two of a network that is thawed."""
    one = recipe_of(name)
    settings = one.settings | {"network": NETWORK, "characters": characters, "speaker_layer": 3, "frozen_steps": 2}
    return replace(
        one,
        settings=settings,
        batches=None if one.batches is None else Batches(utterances=4, crop_s=(0.3, 0.3)),
        whole=None if one.whole is None else replace(one.whole, seconds=4.0),
        steps_an_epoch=2,
        epochs=2,
        patience=None,
        checkpoint_every=1,
        readers=1,
        **changes,
    )


def test_a_validation_reads_as_much_as_one_key_says_and_tells_voices_by_another(speech, monkeypatch):
    pair = {"enrol_id": ["00", "00"], "test_id": ["02", "01"], "is_target": [True, False]}
    held = running.HeldOut(benchmark="tones", list_name="held", trials=pa.table(pair), speech=speech)
    asked = tiny("w2v2-dj-2s-0.5", validate_s=0.3, validate_whole_s=0.7)
    system = system_of("w2v2-dj-2s-0.5", num_people=2, characters=LETTERS)
    lengths = {"embed": [], "transcribe": []}
    for name, noted in lengths.items():
        told = getattr(system, name)

        def noting(wave, samples=None, told=told, noted=noted):
            noted.append(wave.shape[1])
            return told(wave, samples)

        monkeypatch.setattr(system, name, noting)
    found = running._validate(system, held, asked)(system)
    assert {*found.parts} == {"wer", "eer"}
    assert sorted(lengths["embed"]) == sorted(np.minimum(speech.num_samples, 4_800))
    of_read = [num for num, text in zip(speech.num_samples, speech.transcripts, strict=True) if text]
    assert sorted(lengths["transcribe"]) == sorted(np.minimum(of_read, 11_200))
    assert 4_800 < min(of_read) < 11_200 < max(of_read)


def steps(folder):
    with (folder / "steps.csv").open(newline="") as file:
        rows = [*csv.DictReader(file)]
    return [{key: value for key, value in row.items() if key != "utterances_per_s"} for row in rows]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("w2v2-asr-ls", r"\d utterances of up to 0\.\d+ s do not fit into the memory of cpu; .* \(`whole\.seconds`\)"),
        ("w2v2-skr-2s-mean", r"4 crops of 0\.3 s do not fit into the memory of cpu; .* \(`batches\.crop_s`\)"),
    ],
)
def test_memory_that_does_not_do_is_told_with_what_to_lower(name, said, speech, tmp_path, monkeypatch):
    def full(self, wave, labels):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(DisjointMtlSystem, "losses", full)
    with pytest.raises(TrainingError, match=f"^epoch 1, step 1: {said}, or "):
        running.train(tiny(name), speech, tmp_path / "run", of="tones", device="cpu")


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("w2v2-asr-ls", {"ctc", "too_long"}),
        ("w2v2-skr-2s-mean", {"aam_softmax"}),
        ("w2v2-joint-0.5", {"ctc", "too_long", "aam_softmax"}),
        ("w2v2-dj-2s-0.5", {"ctc", "too_long", "aam_softmax"}),
    ],
)
def test_a_run_that_died_goes_on_step_for_step_and_is_kept_as_an_encoder(name, parts, speech, tmp_path, monkeypatch):
    asked = tiny(name)
    running.train(asked, speech, tmp_path / "whole", of="tones", device="cpu")
    num_batches = 4 * asked.accumulate
    learn, done = Training._learn, []

    def learn_or_die(self, *args, **kwargs):
        if len(done) == num_batches - 1:
            raise DiedError
        done.append(None)
        return learn(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "_learn", learn_or_die)
        with pytest.raises(DiedError):
            running.train(asked, speech, tmp_path / "died", of="tones", device="cpu")
    running.train(asked, speech, tmp_path / "died", of="tones", device="cpu")
    rows = steps(tmp_path / "whole")
    assert steps(tmp_path / "died") == rows
    assert len(rows) == num_batches
    assert {*rows[0]} == {"epoch", "step", "loss", "lr", *parts}
    assert all(np.isfinite(float(row["loss"])) for row in rows)
    assert (tmp_path / "died" / "encoder" / "model.json").exists()


def letters_in(run):
    return json.loads((run / "run.json").read_text())["recipe"]["settings"]["characters"]


def test_letters_that_nobody_tells_are_those_of_what_is_read(speech, tmp_path, caplog):
    caplog.set_level(logging.INFO, "voxcurate")
    running.train(tiny("w2v2-asr-ls", "ABCDE"), speech, tmp_path / "told", of="tones", device="cpu")
    assert not any("train: writes " in line for line in caplog.messages)
    for said in ("train: writes 5 letters, those of what is read: ABCDE", "nothing to do"):
        running.train(tiny("w2v2-asr-ls", None), speech, tmp_path / "found", of="tones", device="cpu")
        assert any(said in line for line in caplog.messages)
    assert steps(tmp_path / "found") == steps(tmp_path / "told")
    assert letters_in(tmp_path / "found") == "ABCDE"
    assert load_run(tmp_path / "found")[0].vocabulary.letters == "ABCDE"


def test_of_two_splits_the_letters_are_those_of_the_one_that_is_read(speech, tmp_path, caplog):
    caplog.set_level(logging.INFO, "voxcurate")
    of_crops, read = speech.take(np.arange(8, 14)), speech.take(np.arange(6))
    of_crops = replace(of_crops, transcripts=["XYZ"] * len(of_crops))
    for name, letters in (("w2v2-dj-2s-0.5", "ABCD"), ("w2v2-joint-0.5", "ABCDXYZ")):
        running.train(tiny(name, None), of_crops, tmp_path / name, of="tones", also=read, device="cpu")
        assert letters_in(tmp_path / name) == letters


def test_without_a_text_there_are_no_letters_to_find(speech, tmp_path):
    silent = replace(speech, transcripts=[None, "?"] * 7)
    for name in ("w2v2-asr-ls", "w2v2-dj-2s-0.5"):
        with pytest.raises(TrainingError, match=rf"^{name}: settings.characters is unset, and no text has a word; exp"):
            running.train(tiny(name, None), silent, tmp_path / "run", of="tones", device="cpu")
    assert not (tmp_path / "run").exists()
    running.train(tiny("w2v2-skr-2s-mean", None), silent, tmp_path / "run", of="tones", device="cpu")
    assert letters_in(tmp_path / "run") is None
