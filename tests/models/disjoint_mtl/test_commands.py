"""Odd utterances on their way through `curate train` and `curate test`: each is defined, counted and said."""

import csv
import json
import logging
import math
import re

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from curate.catalog import read_parquet, rows_of
from curate.errors import ExtractorError, TrainingError
from curate.schema import DECISIONS, IDENTITIES
from flows.cli import app
from models.training.engine import Training
from tests.flows.grids_made import carried_out_here
from tests.models.disjoint_mtl.systems_made import ECAPA, NETWORK, spoken
from tests.models.disjoint_mtl.test_weights import published
from tests.models.training.tones_made import catalog_of, described

NUM_PEOPLE, HELD_OUT = 6, 2
TEXTS = ("AB CA", "DAB", "CAD B", None, " ", "ÄB 1", "ABBA" * 4, "A", "ABCD " * 10)  # take by take, of each person
SECONDS = (0.6, 0.5, 0.7, 0.4, 0.4, 0.4, 2.2, 100 / 16_000, 0.3)
NUM = len(TEXTS)
TINY = {
    "batches": {"utterances": 4, "crop_s": [0.2, 0.2]},
    "whole": {"seconds": 2.0},
    "settings": {"network": NETWORK, "characters": "ABCD", "frozen_steps": 1},
    "epochs": 1,
    "precision": "float32",
    "readers": 1,
}


def recipe_in(folder, base, **changes):
    """A file of one's own, tiny."""
    told = TINY | {"base": base, "name": "small"}
    told["settings"] = told["settings"] | changes
    told = {key: value for key, value in told.items() if key != "batches" or "joint" not in base}
    lines = [f"{key} = {_in_toml(value)}" for key, value in told.items()]
    (folder / "small.toml").write_text("\n".join(lines) + "\n")
    return folder / "small.toml"


def _in_toml(value):
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_in_toml(one)}" for key, one in value.items()) + "}"
    return json.dumps(value)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Tones of six people, as a manifest of NeMo and as a catalog: of each three that are well, and six odd ones."""
    folder = tmp_path_factory.mktemp("odd")
    lines, rows = [], []
    for who in range(NUM_PEOPLE):
        (folder / "tones" / f"p{who}").mkdir(parents=True)
        for take, (text, seconds) in enumerate(zip(TEXTS, SECONDS, strict=True)):
            path = folder / "tones" / f"p{who}" / f"{take}.wav"
            letters = "".join(one for one in text or "D" if one in "ABCD ")
            wave = np.resize(spoken(letters, seed=10 * who + take, tilt=who / 5), round(seconds * 16_000))
            soundfile.write(path, wave, 16_000)
            said = {} if text is None else {"text": text}
            lines.append({"audio_filepath": str(path), "duration": seconds, "speaker": f"p{who}", **said})
            rows.append(described(path, folder / "tones") | {"transcript": text})
    (folder / "all.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    well = [line for at, line in enumerate(lines) if at % NUM < 3]
    (folder / "well.jsonl").write_text("".join(json.dumps(line) + "\n" for line in well))
    catalog = catalog_of(folder / "catalog", folder / "tones", utterances=rows, test=("p4", "p5"))
    catalog.publish(DECISIONS, DECISIONS.arrow().empty_table(), part="clean", fingerprint="x")
    people = [{"speaker_id": who, "identity_id": who} for who in sorted({row["speaker_id"] for row in rows})]
    catalog.publish(IDENTITIES, rows_of(IDENTITIES, people), fingerprint="x")
    return folder


@pytest.fixture
def curate(tmp_path, monkeypatch, caplog):
    """The command within this process; what it printed, and what it said meanwhile."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("flows.cli.show_progress", lambda: caplog.set_level(logging.INFO, "voxcurate"))

    def command(*words):
        caplog.clear()
        told = CliRunner().invoke(app, [*map(str, words), "--device", "cpu"], catch_exceptions=False)
        assert told.exit_code == 0
        return told.stdout, [record.getMessage() for record in caplog.records]

    return command


def numbers(path):
    with path.open(newline="") as file:
        return [
            {key: float(value) for key, value in row.items() if value and key != "is_best"}
            for row in csv.DictReader(file)
        ]


LEFT_OUT = [
    "train: 12 utterances of 36 left out of reading: 8 without a text, 4 with characters outside the vocabulary "
    "(Ä 4, 1 4)",
    "train: 4 utterances of 36 left out, such as tones/p0/6: longer than a batch, 2 s",
    "train: 4 utterances of 20, such as tones/p0/8: fewer frames than its text needs; its loss is 0",
    "train: 4 utterances of 18 held out not read in validations: no transcript",
    "train: 2 utterances of 14 held out with characters outside the vocabulary (Ä 2, 1 2), which are errors",
    "train: 2 utterances of 14 held out read to 2 s (`validate_whole_s`): what is said after that are errors",
]


@pytest.mark.parametrize(
    ("base", "settings"),
    [("w2v2-dj-2s-ecapa-c6", {"speaker_layer": 1, "ecapa": ECAPA}), ("w2v2-joint-0.9", {"speaker_layer": 3})],
)
def test_odd_utterances_are_counted_and_said_and_nothing_is_nan(base, settings, place, curate, tmp_path):
    recipe, weights = recipe_in(tmp_path, base, **settings), published(tmp_path / "wav2vec2-base")
    words = ["train", recipe, "--manifest", place / "all.jsonl", "--hold-out", HELD_OUT, "--from", weights]
    told, said = curate(*words, "--set", "steps_an_epoch=none", "--set", "validate_whole_s=2.0")
    assert "The run is in runs/small" in told
    assert re.fullmatch(
        r"train: .*wav2vec2-base: (\d+) of \1 tensors of the network matched; heads begin anew", said[0]
    )
    assert said[1:7] == LEFT_OUT
    last = next(line for line in said if line.startswith("train: epoch 1, step"))
    assert all(f"{part} " in last for part in ("ctc", "too_long", "aam_softmax")), "of both kinds of batches"
    steps, validations = (numbers(tmp_path / "runs" / "small" / name) for name in ("steps.csv", "validations.csv"))
    assert all(math.isfinite(value) for row in [*steps, *validations] for value in row.values())
    assert sum(row.get("too_long", 0) for row in steps) >= 4, "all of them in a pass"
    assert [row["num_words"] for row in validations] == [2 * 19] * 2
    found = read_parquet(tmp_path / "runs" / "small" / "results.parquet")["value"].to_pylist()
    assert all(0 <= value <= 1 for value in found)
    told, _ = curate("test", "runs/small", "-c", place / "catalog")
    lines = told.splitlines()
    assert lines[2].startswith("text: wer "), "no table of no classes"
    assert lines[2].endswith(" of 14 utterances")
    assert "text: 4 of 18 utterances left out: no transcript" in lines
    assert "text: 2 of 14 utterances with characters outside the vocabulary (Ä 2, 1 2), which are errors" in lines
    assert "nan" not in told


def test_weights_that_are_not_there_are_told_before_anything_is_begun(place, curate, tmp_path, hub_cache, no_network):
    recipe = recipe_in(tmp_path, "w2v2-joint-0.9", speaker_layer=3)
    words = ["train", recipe, "--manifest", place / "all.jsonl", "--hold-out", HELD_OUT, "--from", "wav2vec2-base"]
    with pytest.raises(ExtractorError, match=r"^wav2vec2-base: [^\n]*`hf download facebook/wav2vec2-base [^\n]*$"):
        curate(*words)
    assert not (tmp_path / "runs").exists()


def test_the_grid_of_the_paper_is_one_command_that_goes_on_where_a_run_died(place, curate, tmp_path, monkeypatch):
    """Section 4.2: {1, 3} x 1e-{4, 5, 6}; four steps, of which the first is 0.01 of the rate, and the last falls."""
    rates = ["1e-4", "3e-4", "1e-5", "3e-5", "1e-6", "3e-6"]
    recipe = recipe_in(tmp_path, "w2v2-dj-2s-0.9", speaker_layer=3)
    words = ["train", recipe, "--manifest", place / "well.jsonl", "--hold-out", HELD_OUT, "--out", "grid"]
    words += ["--grid", f"schedule.rate={','.join(rates)}", "--set", "steps_an_epoch=4", "--set", "checkpoint_every=1"]
    called, learn = carried_out_here(monkeypatch), Training._learn

    def die(self, *args, **told):
        if self._recipe.schedule.rate == 3e-5 and self.progress.step == 5:
            raise TrainingError("killed")
        return learn(self, *args, **told)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "_learn", die)
        with pytest.raises(TrainingError, match=r"^schedule\.rate=3e-5: killed \(1 of 6 runs failed; expected none\)$"):
            curate(*words)
    folders = {rate: tmp_path / "grid" / f"schedule.rate={rate}" for rate in rates}
    complete = {path: path.read_bytes() for path in tmp_path.rglob("encoder/*")}
    assert len({path.parent for path in complete}) == 5
    told, said = curate(*words)
    assert len(called) == 12
    assert "train: goes on in epoch 1 after step 4" in said
    assert all(path.read_bytes() == before for path, before in complete.items()), "they are not trained again"
    for rate, folder in folders.items():
        found = [row["lr"] for row in numbers(folder / "steps.csv")]
        assert found == pytest.approx([float(rate) * share for share in (0.01, 1, 1, 0.05**0.5) for _ in range(2)])
    lines = [re.split(" {2,}", line.strip()) for line in told.splitlines()]
    assert lines[0] == ["schedule.rate", "before", "a quarter of WER and three of EER", "WER", "EER", "epoch"]
    errors = {line[0]: [float(cell) for cell in line[2:5]] for line in lines[2:8]}
    assert errors.keys() == {*rates}
    assert all(both == pytest.approx(0.25 * wer + 0.75 * eer, abs=1e-5) for both, wer, eer in errors.values())
    best = min(errors, key=lambda rate: errors[rate][0])
    assert next(iter(errors)) == best
    assert f"The best is grid/schedule.rate={best}; " in told
