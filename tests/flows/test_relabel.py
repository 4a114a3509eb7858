"""Wrong labels planted into real speech and moved to who is heard: tables, lists and exports go by the new label."""

import csv
import shutil
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from curate.ages import label
from curate.catalog import Catalog
from curate.config import load_pipeline
from curate.embed import embed_block
from curate.export.writing import export_benchmark
from curate.schema import AGE_LABELS, DECISIONS, IDENTITIES, RUNS, SPLITS, TRIALS, UTTERANCES
from flows.embedding import block_store, blocks_to_embed, encoder
from flows.reading import ingest, register, scan
from flows.steps import AFTER_INGEST, finish

pytestmark = pytest.mark.real

PEOPLE = {  # what the corpora say of each label: the corpus it is of, its sex and age; none of it is true of the voices
    "george": ("one", "female", 24),
    "jackson": ("one", "male", 35),
    "lucas": ("one", "female", 66),
    "nicolas": ("two", "male", 21),
    "theo": ("two", "female", 47),
    "yweweler": ("two", "male", 71),
}
NAMES = list(PEOPLE)
NUM_TAKES, NUM_DIGITS, EVERY = 4, 10, 10  # one in so many bears a wrong label
PIPELINE = """
name = "digits"
catalog = "catalog"
seed = 3

[[corpora]]
name = "one"
reader = "manifest"
root = "{root}/one"
manifest = "rows.csv"
min_duration_s = 0.0

[[corpora]]
name = "two"
reader = "manifest"
root = "{root}/two"
manifest = "rows.csv"
min_duration_s = 0.0

[duplicates]
near = false

[cleaning]
wrong_speaker = "relabel"

[identities]
min_similarity = 0.99

[splits]
num_test_speakers = 4
"""


@pytest.fixture(scope="module")
def truth(corpora, tmp_path_factory) -> tuple[Path, dict[str, str]]:
    """The folder of two corpora of spoken digits, and who truly speaks in each utterance."""
    root, heard = tmp_path_factory.mktemp("audio"), {}
    rows: dict[str, list[tuple[str, ...]]] = {"one": [], "two": []}
    for digit in range(NUM_DIGITS):
        for take in range(NUM_TAKES):
            for place, name in enumerate(NAMES):
                is_wrong = (7 * digit + 3 * take) % EVERY == 0
                said = NAMES[(place + 1 + (take + digit) % 5) % 6] if is_wrong else name
                corpus, sex, age = PEOPLE[said]
                file = f"{digit}_{name}_{take}.wav"
                (root / corpus).mkdir(exist_ok=True)
                shutil.copy(corpora / "fsdd/recordings" / file, root / corpus / file)
                rows[corpus].append((file, said, str(take), sex, str(age)))
                heard[f"{corpus}/{digit}_{name}_{take}"] = f"{PEOPLE[name][0]}/{name}"
    for corpus, lines in rows.items():
        with (root / corpus / "rows.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("path", "speaker", "session", "sex", "age"), *lines])
    return root, heard


def curated(folder: Path, root: Path, known: Path | None = None) -> Catalog:
    """What a run does, here and at once; `known` is a catalog whose vectors need not be computed again."""
    (folder / "digits.toml").write_text(PIPELINE.format(root=root), encoding="utf-8")
    pipeline = load_pipeline(folder / "digits.toml")
    catalog = Catalog(pipeline.catalog)
    if known is not None:
        shutil.copytree(known / "cache" / "embeddings", catalog.root / "cache" / "embeddings")
    for corpus in pipeline.corpora:
        scan(pipeline, catalog, corpus.name)
        ingest(pipeline, catalog, corpus.name).carry_out()
    register(pipeline, catalog).carry_out()
    planned = blocks_to_embed(pipeline, catalog)
    for block in planned.blocks(100) if planned else []:
        embed_block(block, encoder(pipeline), block_store(pipeline, catalog))
    for make in AFTER_INGEST.values():
        make(pipeline, catalog).carry_out()
    finish(pipeline, catalog)
    return catalog


@pytest.fixture(scope="module")
def catalog(truth, tmp_path_factory) -> Catalog:
    return curated(tmp_path_factory.mktemp("relabelled"), truth[0])


@pytest.fixture(scope="module")
def moved(catalog) -> dict[str, str]:
    """The label that each moved utterance was given."""
    rows = catalog.read(DECISIONS).filter(pc.field("verdict") == "relabel")
    assert set(rows["reason"].to_pylist()) == {"wrong_speaker"}
    return dict(zip(rows["subject_id"].to_pylist(), rows["other_id"].to_pylist(), strict=True))


def by_id(rows, key="utterance_id"):
    return {row[key]: row for row in rows.to_pylist()}


def test_what_moves_goes_to_who_is_heard_also_across_corpora(truth, catalog, moved):
    heard, utterances = truth[1], by_id(catalog.read(UTTERANCES))
    assert len(moved) >= 5
    assert moved == {one: heard[one] for one in moved}
    assert {label.split("/")[0] != one.split("/")[0] for one, label in moved.items()} == {True, False}
    assert all(utterances[one]["speaker_id"] != label for one, label in moved.items())  # that table tells what came


def test_splits_are_of_people_as_the_labels_now_say(truth, catalog, moved):
    rows, came = by_id(catalog.read(SPLITS)), by_id(catalog.read(UTTERANCES))
    identity = {row["speaker_id"]: row["identity_id"] for row in catalog.read(IDENTITIES).to_pylist()}
    assert identity == {one: one for one in identity}
    assert {one: row["identity_id"] for one, row in rows.items()} == {
        one: moved.get(one, came[one]["speaker_id"]) for one in rows
    }
    assert moved.keys() <= rows.keys()
    wrong = [one for one, row in rows.items() if row["identity_id"] != truth[1][one]]
    assert len(wrong) <= 2  # of 24 that were planted: found neither by dropping nor by moving
    splits_of = {
        row["identity_id"]: {r["split"] for r in rows.values() if r["identity_id"] == row["identity_id"]}
        for row in rows.values()
    }
    assert all(len(splits) == 1 for splits in splits_of.values())


def test_trials_ask_of_who_is_heard(truth, catalog, moved):
    heard, trials = truth[1], catalog.read(TRIALS).to_pylist()
    right = {one for one, row in by_id(catalog.read(SPLITS)).items() if row["identity_id"] == heard[one]}
    asked = [row for row in trials if {row["enrol_id"], row["test_id"]} <= right]
    sex = {f"{corpus}/{name}": sex for name, (corpus, sex, _) in PEOPLE.items()}
    with_moved = [row for row in asked if {row["enrol_id"], row["test_id"]} & moved.keys()]
    assert {row["is_target"] for row in with_moved} == {True, False}
    for row in asked:
        a, b = row["enrol_id"], row["test_id"]
        assert row["is_target"] == (heard[a] == heard[b])
        assert sex[heard[a]] == sex[heard[b]]
        assert not row["is_target"] or a[-1] != b[-1]  # the take is the session, also of one that was moved
    card = (catalog.root / "README.md").read_text(encoding="utf-8")
    num = sum(row["is_target"] and bool({row["enrol_id"], row["test_id"]} & moved.keys()) for row in trials)
    assert f"Of the target trials {num} have a side under another label than its corpus gave." in card
    of_each = {corpus: sum(one.startswith(corpus) for one in moved) for corpus in ("one", "two")}
    told = ", ".join(f"{corpus} {num}" for corpus, num in of_each.items())
    assert f"Of the kept utterances {len(moved)} are under another label than the corpus gave ({told})." in card
    assert f"| clean | utterance | relabel | wrong_speaker | {len(moved)} |" in card


def test_ages_are_those_of_who_is_heard(truth, catalog, moved):
    for scheme in ("leq29", "leq17"):
        rows = by_id(catalog.read(AGE_LABELS).filter(pc.field("scheme") == scheme))
        assert len(rows) == NUM_DIGITS * NUM_TAKES * len(NAMES)
        for one, name in moved.items():
            age = PEOPLE[name.split("/")[1]][2]
            assert rows[one]["age_group"] == label(scheme, age, age).group


def test_exports_tell_the_new_label_its_sex_and_age(truth, catalog, moved, tmp_path):
    people = {f"{corpus}/{name}": (sex, age) for name, (corpus, sex, age) in PEOPLE.items()}
    for to in ("kaldi", "huggingface", "voxceleb"):
        export_benchmark(catalog, to, tmp_path / to)
    rows = [
        row
        for file in sorted((tmp_path / "huggingface").rglob("data/*.parquet"))
        for row in pq.read_table(file).to_pylist()
    ]
    there = by_id(catalog.read(SPLITS))
    assert len(rows) == len(there)
    for row in rows:
        one = row["utterance_id"]
        assert row["speaker_id"] == there[one]["identity_id"]
        if one in moved:
            sex, age = people[moved[one]]
            assert (row["speaker_id"], row["label"], row["sex"]) == (moved[one], moved[one], sex)
            assert (row["age_min_years"], row["age_max_years"], row["age_source"]) == (age, age, None)
            assert row["session_id"] == f"{moved[one]}/{one[-1]}"
    for split in ("train", "test"):
        folder = tmp_path / "kaldi" / split
        of = {
            name: dict(line.split(maxsplit=1) for line in (folder / name).read_text().splitlines())
            for name in ("utt2spk", "utt2age", "spk2gender")
        }
        for one, label_ in moved.items():
            if there[one]["split"] == split:
                (key,) = (key for key in of["utt2spk"] if key.endswith(f"!{one}"))
                assert of["utt2spk"][key] == label_
                assert of["utt2age"][key] == str(people[label_][1])
                assert of["spk2gender"][label_] == people[label_][0][0]
        lines = dict(
            reversed(line.split(maxsplit=1))
            for line in (tmp_path / "voxceleb" / f"{split}_list.txt").read_text().splitlines()
        )
        for one, label_ in moved.items():
            if there[one]["split"] == split:
                (speaker,) = (said for path, said in lines.items() if path.endswith(f"/{one}.wav"))
                assert speaker == label_


def test_a_second_run_gives_the_same_bytes(truth, catalog, contents, tmp_path):
    again = curated(tmp_path, truth[0], known=catalog.root)
    assert contents(again.root, without=(RUNS.name,)) == contents(catalog.root, without=(RUNS.name,))
