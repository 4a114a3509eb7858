"""What the demo promises: three corpora as told, every fault where `truth.csv` says it is, and none elsewhere."""

import csv
import hashlib
import json
from collections import Counter, defaultdict

import numpy as np
import pytest
import soundfile

from benchmarks.demo.corpora import write_demo
from benchmarks.demo.people import LABELS, PEOPLE
from benchmarks.demo.plan import PLANTED, SENTENCES, plan, same_person

SEED = 3


@pytest.fixture(scope="module")
def folder(once):
    """Holds nothing but the demo."""
    return once("demo-corpora-3", lambda folder: write_demo(folder / "corpora", seed=SEED))


@pytest.fixture(scope="module")
def demo(folder):
    return folder / "corpora"


@pytest.fixture(scope="module")
def truth(demo):
    return rows(demo / "truth.csv")


@pytest.fixture(scope="module")
def faults(truth):
    """fault -> ids of what has it."""
    ids = defaultdict(set)
    for row in truth:
        ids[row["fault"]].add(row["subject_id"])
    return ids


@pytest.fixture(scope="module")
def files(demo):
    """utterance id -> path, of every sound file."""
    paths = [path for path in demo.rglob("*") if path.suffix in (".wav", ".flac")]
    return {path.relative_to(demo).with_suffix("").as_posix(): path for path in paths}


@pytest.fixture(scope="module")
def sounds(files, faults):
    """utterance id -> (seconds, peak), of every file that is whole."""
    whole = {name: soundfile.read(path) for name, path in files.items() if name not in faults["truncated"]}
    return {name: (len(sound) / rate, float(np.abs(sound).max())) for name, (sound, rate) in whole.items()}


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def sai_gon(demo):
    return [json.loads(line) for line in (demo / "sai-gon/utterances.jsonl").read_text(encoding="utf-8").splitlines()]


def fingerprints(root):
    return {p.relative_to(root): hashlib.sha256(p.read_bytes()).hexdigest() for p in root.rglob("*") if p.is_file()}


def test_the_size_is_that_of_a_demo(files, sounds):
    assert 350 <= len(files) <= 450
    assert 10 < sum(duration_s for duration_s, _ in sounds.values()) / 60 < 20


def test_the_manifests_name_every_file_and_no_other(demo, files):
    hue = {f"hue/{row['file']}" for row in rows(demo / "hue/utterances.csv")}
    told = hue | {f"sai-gon/{row['path']}" for row in sai_gon(demo)}
    found = {path.relative_to(demo).as_posix() for path in files.values()}
    assert told == {name for name in found if not name.startswith("ha-noi/")}
    speakers = {row["speaker"] for row in rows(demo / "ha-noi/speakers.csv")}
    assert speakers == {name.split("/")[1] for name in found - told}


def test_every_label_has_two_sessions_of_five_or_six(demo):
    sessions = Counter((row["client"], row["visit"]) for row in rows(demo / "hue/utterances.csv"))
    sessions |= Counter((row["speaker"], row["session"]) for row in sai_gon(demo))
    sessions |= Counter(path.parts[-3:-1] for path in (demo / "ha-noi").rglob("*.wav"))
    assert len(sessions) == 2 * sum(len(labels) for labels in LABELS.values())
    assert set(sessions.values()) == {5, 6}


def test_women_and_men_are_as_many_and_every_age_group_is_there():
    people = [PEOPLE[name] for labels in LABELS.values() for name in labels.values()]
    assert Counter(person.sex for person in people) == {"female": 17, "male": 17}
    ages = [person.age_years for person in people]
    assert min(sum(age < 18 for age in ages), sum(18 <= age <= 29 for age in ages), sum(age >= 60 for age in ages)) >= 3


def test_every_fault_has_its_rows(truth):
    planted = Counter()
    for fault, _, count in PLANTED:
        planted[fault] += count
    assert Counter(row["fault"] for row in truth) == planted + Counter(two_people=2, same_person=3)


def test_every_utterance_of_the_truth_is_a_file(truth, files):
    assert {row["subject_id"] for row in truth if row["subject"] == "utterance"} <= files.keys()


def test_only_the_short_are_short(sounds, faults):
    assert {name for name, (duration_s, _) in sounds.items() if duration_s < 1} == faults["too_short"]
    assert {sounds[name][0] for name in faults["too_short"]} == {0.2}


def test_only_the_silent_are_faint(sounds, faults):
    faint = {name for name, (_, peak) in sounds.items() if peak < 0.05}
    assert faint == faults["silence"]


def test_only_the_truncated_cannot_be_decoded(files, faults):
    for name in faults["truncated"]:
        with pytest.raises(soundfile.LibsndfileError):
            soundfile.read(files[name])  # `sounds` has read all others


def test_a_wrong_speaker_is_somebody_else_of_the_same_corpus(truth):
    for row in (row for row in truth if row["fault"] == "wrong_speaker"):
        corpus, label = row["other_id"].split("/")
        said = next(each for each in plan(np.random.default_rng(SEED)) if each.utterance_id == row["subject_id"])
        assert said.corpus == corpus
        assert said.person == LABELS[corpus][label] != LABELS[corpus][said.speaker]


def test_two_people_share_a_label_half_and_half(truth):
    label_of = {said.utterance_id: said.speaker_id for said in plan(np.random.default_rng(SEED))}
    for row in (row for row in truth if row["fault"] == "two_people"):
        lodged = row["detail"].split()
        assert {label_of[name] for name in lodged} == {row["subject_id"]}
        assert 0.35 <= len(lodged) / list(label_of.values()).count(row["subject_id"]) <= 0.65


def test_two_pairs_cross_corpora_and_one_does_not():
    corpora = [(first.split("/")[0], second.split("/")[0]) for first, second in same_person()]
    assert sorted(first == second for first, second in corpora) == [False, False, True]


def test_no_label_reads_a_sentence_twice():
    read = Counter((utterance.speaker_id, utterance.text) for utterance in plan(np.random.default_rng(SEED)))
    assert set(read.values()) == {1}
    sentences = SENTENCES.read_text(encoding="utf-8").splitlines()
    assert len(set(sentences)) == len(sentences) == 200


def test_the_same_seed_writes_the_same_bytes_and_nothing_beside_the_root(demo, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_demo(tmp_path / "again", seed=SEED)
    assert fingerprints(tmp_path / "again") == fingerprints(demo)
    assert [path.name for path in tmp_path.iterdir()] == ["again"]
    assert [path.name for path in folder.iterdir()] == ["corpora"]


def test_another_seed_plans_another_demo():
    assert plan(np.random.default_rng(SEED)) != plan(np.random.default_rng(SEED + 1))


def test_a_folder_in_use_is_refused(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(FileExistsError, match="not empty"):
        write_demo(tmp_path, seed=SEED)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
