"""A benchmark of two lists, three splits and models goes out in every form: each list under its name, nothing lost."""

import os
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from benchmarks.list_files import read_models, read_trials
from curate.catalog import Catalog, rows_of
from curate.corpora import READERS
from curate.errors import ExportError
from curate.export import FORMS
from curate.export.writing import export_benchmark
from curate.schema import CORPORA, DECISIONS, MODELS, SPLITS, TRIALS, UTTERANCES

SPLIT = {  # of four people with three utterances each; `left` is in none, as what a split of utterances leaves
    "train": ["a/an/1", "a/an/2", "a/an/3"],
    "dev": ["a/bao/1", "a/bao/2", "a/chi/1", "a/chi/2"],
    "out-of-domain": ["a/chi/3", "a/dung/1", "a/dung/2", "a/dung/3"],
}
LISTS = {
    "dev": [("a/bao/1", "a/bao/2", True), ("a/bao/1", "a/chi/2", False)],
    "ood-core": [
        ("a/ood-core/d!", "a/dung/3", True),
        ("a/chi/3", "a/dung/1", False),
        ("a/ood-core/d!", "a/chi/3", False),
    ],
}
OF_MODEL = {"a/ood-core/d!": ["a/dung/1", "a/dung/2"]}
PAIRS = LISTS | {"ood-core": [trial for trial in LISTS["ood-core"] if trial[0] not in OF_MODEL]}
every_form = pytest.mark.parametrize("form", FORMS)


def catalog_of(root, lists, models):
    """A catalog with the benchmark `two` of these lists and models, and another beside it."""
    made, ids = Catalog(root / "catalog"), [f"a/{name}/{n}" for name in ("an", "bao", "chi", "dung") for n in (1, 2, 3)]
    for number, one in enumerate([*ids, "a/bao/left"]):
        path = root / f"{one}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        samples = np.random.default_rng(number).integers(-9000, 9000, 4_000 + 800 * number, dtype=np.int16)
        soundfile.write(path, samples, 16_000)
    rows = [_row(root, one) for one in [*ids, "a/bao/left"]]
    made.publish(UTTERANCES, rows_of(UTTERANCES, rows), part="a", fingerprint="")
    corpora = [{"corpus": "a", "reader": "folder", "root": str(root / "a")}]
    made.publish(CORPORA, rows_of(CORPORA, corpora), fingerprint="")
    made.publish(DECISIONS, DECISIONS.arrow().empty_table(), part="clean", fingerprint="")
    for name, its in (("two", lists), ("other", {"test": [("a/an/1", "a/an/2", True)]})):
        _publish(made, name, its, models if name == "two" else {})
    return made


def _row(root, one):
    info = soundfile.info(root / f"{one}.wav")
    return {
        "utterance_id": one,
        "corpus": "a",
        "speaker_id": one.rpartition("/")[0],
        "path": f"{one.removeprefix('a/')}.wav",
        "start_s": 0.0,
        "duration_s": info.duration,
        "sample_rate_hz": 16_000,
        "num_channels": 1,
        "num_samples": info.frames,
    }


def _publish(catalog, name, lists, models):
    splits = [
        {"benchmark": name, "utterance_id": one, "identity_id": one.rpartition("/")[0], "split": split}
        for split, of in SPLIT.items()
        for one in of
    ]
    catalog.publish(SPLITS, rows_of(SPLITS, splits), part=name, fingerprint="")
    trials = [
        {"benchmark": name, "list": called, "enrol_id": enrol, "test_id": test, "is_target": is_target}
        for called, its in lists.items()
        for enrol, test, is_target in its
    ]
    catalog.publish(TRIALS, rows_of(TRIALS, trials), part=name, fingerprint="")
    if models:
        rows = [{"benchmark": name, "model_id": m, "utterance_id": one} for m, of in models.items() for one in of]
        catalog.publish(MODELS, rows_of(MODELS, rows), part=name, fingerprint="")


def by_reader(form, out):
    """Lists and models as our reader of the form takes them back."""
    reader = READERS[form]
    settings = reader.Settings(reader=form, name="back", root=out.parent, manifest=out)
    ids = {row.utterance for row in reader.rows(out.parent, settings)}
    found = {}
    for trial in reader.published_trials(out.parent, settings):
        assert trial.test in ids
        assert (trial.enrol in ids) == (trial.enrol_list is None)
        found.setdefault(trial.list, []).append((trial.enrol, trial.test, trial.is_target))
    of_model = {}
    for one in reader.enrolments(out.parent, settings):
        of_model.setdefault(one.model, []).append(one.utterance)
    return found, of_model


def trials_of(path):
    return [tuple(row.values()) for row in read_trials(path).to_pylist()]


def back(form, out, lists, models):
    """(lists by name, models) as they are read again."""
    if form in ("kaldi", "wespeaker"):
        file = "{}/trials_{}" if form == "kaldi" else "{}/two_{}"
        splits = {"dev": "dev", "ood-core": "out-of-domain"}
        found, of_model = by_reader(form, out)
        assert found.keys() == {file.format(splits[name], name) for name in lists}
        return {name: found[file.format(splits[name], name)] for name in lists}, of_model
    if form == "huggingface":
        tables = {
            name: pq.read_table(out / f"trials/{name.replace('-', '_')}-00000-of-00001.parquet") for name in lists
        }
        of_model = {}
        for row in pq.read_table(out / "models/train-00000-of-00001.parquet").to_pylist() if models else []:
            of_model.setdefault(row["model"], []).append(row["utterance"])
        return {name: [tuple(row.values()) for row in table.to_pylist()] for name, table in tables.items()}, of_model
    if form == "voxceleb":
        named = {name: trials_of(out / f"veri_two_{name}.txt") for name in lists}
        of_path = {
            str(path): f"a/{path.relative_to(out.parent / 'a').with_suffix('')}" for path in out.parent.glob("a/*/*")
        }
        return {name: [(of_path[e], of_path[t], is_t) for e, t, is_t in its] for name, its in named.items()}, {}
    of_model = {}
    for row in read_models(out / "models.txt").to_pylist() if models else []:
        of_model.setdefault(row["model"], []).append(row["utterance"])
    return {name: trials_of(out / f"trials_{name}.txt") for name in lists}, of_model


@every_form
@pytest.mark.parametrize("models", [{}, OF_MODEL], ids=["pairs", "models"])
def test_every_list_and_model_comes_back_as_it_was(form, models, tmp_path):
    lists = LISTS if models else PAIRS
    catalog, out = catalog_of(tmp_path, lists, models), tmp_path / "out"
    if form == "voxceleb" and models:
        with pytest.raises(
            ExportError, match=r"^a/ood-core/d!: trials enrol models, and a list of .*; expected a bench"
        ):
            export_benchmark(catalog, form, out, benchmark="two")
        assert not out.exists()
        return
    summary = export_benchmark(catalog, form, out, benchmark="two")
    num_trials = sum(map(len, lists.values()))
    assert summary == f"{out}: 11 utterances, {num_trials} trials ({form})"
    assert back(form, out, lists, models) == (lists, models)
    if form == "kaldi" and models:  # `!` is what divides its own ids
        listed = (out / "out-of-domain/model2utt").read_text(encoding="utf-8")
        assert listed == "a/ood-core/d=21 a/dung!a/dung/1 a/dung!a/dung/2\n"


@every_form
def test_every_split_has_its_utterances_and_what_is_in_none_stays(form, tmp_path):
    catalog, out = catalog_of(tmp_path, PAIRS, {}), tmp_path / "out"
    export_benchmark(catalog, form, out, benchmark="two")
    names = {
        "kaldi": "{}/wav.scp",
        "wespeaker": "{}/wav.scp",
        "lhotse": "two_recordings_{}.jsonl.gz",
        "speechbrain": "{}.json",
        "nemo": "{}_manifest.json",
        "voxceleb": "{}_list.txt",
        "huggingface": "data/{}-00000-of-00001.parquet",
    }
    for split, ids in SPLIT.items():
        path = out / names[form].format(split.replace("-", "_") if form == "huggingface" else split)
        if form == "huggingface":
            assert pq.read_table(path)["utterance_id"].to_pylist() == ids
            continue
        text = pa.input_stream(str(path)).read().decode()  # gz by its name
        assert [one for one in (f"a/{p}" for p in _paths(tmp_path)) if f"{tmp_path}/{one}.wav" in text] == ids


def _paths(root):
    return sorted(str(path.relative_to(root / "a").with_suffix("")) for path in root.glob("a/*/*.wav"))


@pytest.mark.parametrize("form", sorted({*FORMS} - {"voxceleb"}))  # which names no models
def test_a_model_that_lost_an_utterance_by_length_is_gone_with_its_trials(form, tmp_path):
    catalog, out = catalog_of(tmp_path, LISTS, OF_MODEL), tmp_path / "out"
    at_most = soundfile.info(tmp_path / "a/dung/1.wav").duration  # the second of the model is longer
    summary = export_benchmark(catalog, form, out, benchmark="two", max_duration_s=at_most)
    assert "; 2 utterances and 2 trials left out by length" in summary
    assert back(form, out, LISTS, {}) == (LISTS | {"ood-core": [("a/chi/3", "a/dung/1", False)]}, {})


def test_one_list_of_another_name_is_under_its_name_and_test_alone_under_none(tmp_path):
    for name, file in (("dev", "trials_dev.txt"), ("test", "trials.txt")):
        out = tmp_path / name / "out"
        export_benchmark(catalog_of(tmp_path / name, {name: LISTS["dev"]}, {}), "nemo", out, benchmark="two")
        assert [path.name for path in out.glob("trials*")] == [file]
        assert trials_of(out / file) == LISTS["dev"]


@pytest.mark.parametrize("form", ["kaldi", "wespeaker"])
def test_a_model_of_utterances_in_two_splits_is_an_error_where_splits_are_folders(form, tmp_path):
    models = {"a/ood-core/d!": ["a/dung/1", "a/bao/1"]}
    catalog = catalog_of(tmp_path, LISTS, models)
    with pytest.raises(
        ExportError, match=r"^model a/ood-core/d! of utterances in dev and out-of-domain; expected all in"
    ):
        export_benchmark(catalog, form, tmp_path / "out", benchmark="two")


LOAD = """
import sys
from datasets import get_dataset_config_names, load_dataset
print(get_dataset_config_names(sys.argv[1]))
for name in ("trials-two", "models-two"):
    print({split: [tuple(row.values()) for row in rows] for split, rows in load_dataset(sys.argv[1], name).items()})
print({split: len(rows) for split, rows in load_dataset(sys.argv[1], "two").items()})
"""


def test_datasets_loads_every_list_as_a_split_of_the_trials(tmp_path):
    catalog, out = catalog_of(tmp_path, LISTS, OF_MODEL), tmp_path / "out"
    export_benchmark(catalog, "huggingface", out, benchmark="two")
    offline = {"HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(out)], env=os.environ | offline, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-4:] == [
        "['two', 'trials-two', 'models-two']",
        str({name.replace("-", "_"): its for name, its in LISTS.items()}),
        str({"train": [(model, one) for model, of in OF_MODEL.items() for one in of]}),
        str({split.replace("-", "_"): len(SPLIT[split]) for split in sorted(SPLIT)}),
    ]
    card = (out / "README.md").read_text(encoding="utf-8")
    assert 'trials = load_dataset(".", "trials-two", split="ood_core")' in card
