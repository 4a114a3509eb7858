"""What the ablation promises: every choice beside the others, on utterances that were not heard, and a table of it."""

import json
import sys
from collections import Counter

import numpy as np
import pytest
import soundfile

from models.data.speech import of_manifest
from models.training import ablation
from models.training.ablation import Measured, beginning, divided, losses, table, trials_of

NUM_PEOPLE, NUM_EACH, SECONDS = 5, 9, 1.5


@pytest.fixture
def manifest(tmp_path):
    """Five people of two corpora, nine utterances of noise of each, and one person who has too few."""
    rng, lines = np.random.default_rng(0), []
    for who in range(NUM_PEOPLE + 1):
        for number in range(NUM_EACH if who < NUM_PEOPLE else 5):
            path = tmp_path / f"{who}-{number}.wav"
            soundfile.write(path, 0.1 * rng.normal(size=int(16_000 * SECONDS)), 16_000)
            speaker = f"{'north' if who < 3 else 'south'}/{who}"
            lines.append(json.dumps({"audio_filepath": path.name, "duration": SECONDS, "speaker": speaker}))
    (tmp_path / "speech.jsonl").write_text("\n".join(lines) + "\n")
    return tmp_path / "speech.jsonl"


def test_the_table_has_the_mean_and_the_deviation_of_each_row_s_seeds():
    found = [
        Measured("AP, SGD", 1, 40.0, 30.0),
        Measured("eta 0", 1, 35.0, 25.25),
        Measured("AP, SGD", 2, 42.0, 33.0),
        Measured("AP, SGD", 3, 44.0, 36.0),
    ]
    assert table(found).splitlines() == [
        "| | EER before, % | EER after, % | runs |",
        "| --- | --- | --- | --- |",
        "| AP, SGD | 42.0 ± 2.0 | 33.0 ± 3.0 | 3 |",
        "| eta 0 | 35.0 | 25.2 | 1 |",
    ]


def test_what_is_compared_is_not_heard_and_of_the_same_people(manifest):
    speech = of_manifest(manifest)
    heard, compared = divided(speech)
    assert heard.people == compared.people == ["north/0", "north/1", "north/2", "south/3", "south/4"]
    ids = heard.utterance_ids.to_pylist(), compared.utterance_ids.to_pylist()
    assert not set(ids[0]) & set(ids[1])
    assert Counter(compared.person.tolist()) == dict.fromkeys(range(5), 3)  # the 1st, the 5th and the 9th
    assert Counter(heard.person.tolist()) == dict.fromkeys(range(5), 6)


def test_trials_are_all_pairs_within_a_corpus(manifest):
    _, compared = divided(of_manifest(manifest))
    trials = trials_of(compared)
    assert trials.num_rows == 9 * 8 // 2 + 6 * 5 // 2
    assert sum(trials["is_target"].to_pylist()) == 5 * 3
    corpus = {
        name: compared.people[code][:5]
        for name, code in zip(compared.utterance_ids.to_pylist(), compared.person, strict=True)
    }
    sides = zip(trials["enrol_id"].to_pylist(), trials["test_id"].to_pylist(), strict=True)
    assert all(corpus[one] == corpus[other] for one, other in sides)


def test_so_much_of_each_utterance_is_heard(manifest):
    speech = of_manifest(manifest)
    assert set(beginning(speech, 1.0).num_samples.tolist()) == {16_000}
    assert set(beginning(speech, np.inf).num_samples.tolist()) == {24_000}


def test_losses_differ_in_what_is_compared_alone():
    found = dict(losses())
    assert list(found) == ["AP, SGD", "AP, Adam", "AMP-cos, SGD", "AMP-cos, Adam", "AMP-arc, SGD", "AMP-arc, Adam"]
    for name, recipe in found.items():
        loss, optimizer = name.lower().split(", ")
        assert (recipe.settings["loss"], recipe.optimizer.kind) == (loss, optimizer)
        assert recipe.settings["margin"] == (0 if loss == "ap" else 0.2)
        assert recipe.schedule == found["AP, SGD"].schedule
        assert recipe.batches == found["AP, SGD"].batches


def test_a_run_tells_each_row_and_the_table(manifest, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["ablation", str(manifest), "--seeds", "7", "--device", "cpu", "--passes", "4"])
    ablation.main()
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == "30 utterances of 5 people; 51 trials of others"
    tuned, etas = list(dict(losses())), ["eta 0", "eta 0.1", "eta 0.3", "eta 1"]
    names = ["from nothing", *tuned, *etas]
    told = {line[8:24].strip(): line[24:].split(" > ") for line in lines[: len(names)]}
    assert list(told) == names
    assert all(line.startswith("seed 7  ") for line in lines[: len(names)])
    assert {told[name][0] for name in tuned} == {" " + told["from nothing"][1]}, "they begin with what it has learnt"
    assert [line.split(" | ")[0] for line in lines[len(names) + 2 :]] == [f"| {name}" for name in names]
