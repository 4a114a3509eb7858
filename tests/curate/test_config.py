"""What a pipeline file may say, and that whatever else it says is named: file, key, and what was expected."""

import datetime as dt
import json
import math
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.config import Pipeline, Robust, Trials, load_pipeline
from curate.corpora import READERS
from curate.errors import PipelineError
from curate.storage import location

GOOD = {
    "name": "toy",
    "catalog": "out/catalog",
    "seed": 3,
    "corpora": [
        {"name": "a", "reader": "folder", "root": "speech", "include": ["*/x.wav"], "min_duration_s": 0.1},
        {"name": "b", "reader": "manifest", "root": "/abs", "manifest": "m.csv", "fields": {"speaker": "who"}},
    ],
    "embedding": {"extractor": "ge2e", "utterances_per_block": 8},
    "runner": {"kind": "threads", "workers": 1},
    "cleaning": {"preset": "vietsv", "iqr_factor": 1.5, "min_speaker_similarity": 0.5},
    "identities": {"min_similarity": "vietsv", "within_corpora": False, "guards": ["sex"]},
    "ages": {"schemes": ["leq17"]},
    "splits": {"num_test_speakers": 2, "test_from": ["a"], "sex_balanced": True, "min_test_utterances": 2},
    "trials": {"max_targets": 5, "p_target": 0.05, "cost_miss": 10},
    "card": {"title": "Toy", "makers": ["me"]},
}
PLACES = [(key,) for key in GOOD] + [
    (section, key) for section, value in GOOD.items() if isinstance(value, dict) for key in value
]
PLACES += [("corpora", i) for i in (0, 1)] + [("corpora", i, key) for i in (0, 1) for key in GOOD["corpora"][i]]


def toml(value):
    """A value as TOML writes it; tables are inline."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k, ensure_ascii=False)} = {toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, float):
        return "nan" if math.isnan(value) else repr(value)
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    return json.dumps(value, ensure_ascii=False)


def as_file(folder, content):
    lines = content if isinstance(content, str) else "\n".join(f"{toml(k)} = {toml(v)}" for k, v in content.items())
    (folder / "pipeline.toml").write_text(lines, encoding="utf-8")
    return folder / "pipeline.toml"


def changed(place, value):
    """The good pipeline with one value replaced or added."""
    content = json.loads(json.dumps(GOOD))
    inner = content
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return content


def without(*place):
    content = json.loads(json.dumps(GOOD))
    inner = content
    for key in place[:-1]:
        inner = inner[key]
    del inner[place[-1]]
    return content


def refusal(file):
    with pytest.raises(PipelineError) as caught:
        load_pipeline(file)
    message = str(caught.value)
    assert message.startswith(f"{file}: ")
    assert "\n" not in message
    return message.removeprefix(f"{file}: ")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("config")


# -------------------------------------------------------------------------------------------------------------- good


def test_a_whole_file_becomes_what_it_says(folder):
    pipeline = load_pipeline(as_file(folder, GOOD))
    assert (pipeline.name, pipeline.seed, pipeline.cleaning.min_speaker_similarity) == ("toy", 3, 0.5)
    assert pipeline.splits.test_from == ("a",)
    assert pipeline.trials == Trials(max_targets=5, p_target=0.05, cost_miss=10)
    assert pipeline.corpus("b") is pipeline.corpora[1]
    assert [type(corpus) for corpus in pipeline.corpora] == [READERS["folder"].Settings, READERS["manifest"].Settings]
    assert pipeline.corpora[1].fields == {"speaker": "who"}


def test_paths_are_relative_to_the_file_and_not_to_where_one_stands(folder, monkeypatch):
    (folder / "deep").mkdir(exist_ok=True)
    file = as_file(folder / "deep", changed(("catalog",), "../cat"))
    monkeypatch.chdir(folder / "deep")
    for given_as in (file, Path("pipeline.toml")):
        pipeline = load_pipeline(given_as)
        assert pipeline.catalog == folder.resolve() / "cat"
        assert [corpus.root for corpus in pipeline.corpora] == [folder.resolve() / "deep" / "speech", Path("/abs")]


def test_addresses_of_other_places_stay_as_they_are_and_lists_may_lie_there(folder):
    elsewhere = changed(("corpora", 1, "root"), "s3://bucket/corpus") | {"catalog": "s3://bucket/catalog"}
    elsewhere["corpora"][1]["exclusions"] = ["lists/a.txt", "memory://lists/b.txt", "file:///data/c.txt"]
    pipeline = load_pipeline(as_file(folder, elsewhere))
    assert pipeline.catalog == location("s3://bucket/catalog")
    assert [str(corpus.root) for corpus in pipeline.corpora] == [str(folder.resolve() / "speech"), "s3://bucket/corpus"]
    beside = [str(folder.resolve() / "lists/a.txt"), "memory://lists/b.txt", "/data/c.txt"]
    assert [str(path) for path in pipeline.corpora[1].exclusions] == beside
    assert pipeline.corpora[1].manifest == Path("m.csv")  # within the root


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "s9://bucket/x",
            "corpora[1].root: s9://bucket/x: unknown scheme 's9'; expected a path, or one such as s3 or gs",
        ),
        ("s3://", "corpora[1].root: 's3://': no plain address; expected one such as s3://bucket/folder, without `..`"),
        (3, "corpora[1].root: '3'; expected a path, or an address such as s3://bucket/folder"),
    ],
)
def test_an_address_that_cannot_be_is_named_with_its_key(folder, text, told):
    file = as_file(folder, changed(("corpora", 1, "root"), text))
    with pytest.raises(PipelineError) as error:
        load_pipeline(file)
    assert str(error.value) == f"{file}: {told}"


def test_a_secret_in_an_address_is_not_repeated(folder):
    file = as_file(folder, changed(("corpora", 1, "root"), "s3://key:hush@bucket/x"))
    with pytest.raises(PipelineError, match=r"corpora\[1\].root: s3:// with a key or password in it") as told:
        load_pipeline(file)
    assert "hush" not in str(told.value)


def test_a_tilde_is_the_home_folder(folder, monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    assert load_pipeline(as_file(folder, changed(("catalog",), "~/c"))).catalog == Path("/home/somebody/c")


def test_what_is_not_said_has_the_value_that_is_documented(folder):
    short = {key: GOOD[key] for key in ("name", "catalog", "corpora")} | {"splits": {"num_test_speakers": 2}}
    pipeline = load_pipeline(as_file(folder, short))
    assert (pipeline.seed, pipeline.cleaning, pipeline.trials) == (0, Robust(), Trials())
    assert pipeline.corpora[0].damaged == "refuse"


def test_without_splits_there_is_no_benchmark(folder):
    alone = {key: value for key, value in GOOD.items() if key not in ("splits", "trials")}
    assert load_pipeline(as_file(folder, alone)).splits is None


def test_a_limit_may_be_infinite(folder):
    pipeline = load_pipeline(as_file(folder, changed(("corpora", 0, "max_duration_s"), math.inf)))
    assert pipeline.corpora[0].max_duration_s == math.inf


# --------------------------------------------------------------------------------------------------------------- bad


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (changed(("sede",), 1), "sede: unknown key; did you mean 'seed'?"),
        (changed(("splits", "num_speakers"), 1), "splits.num_speakers: unknown key; did you mean 'num_test_speakers'?"),
        (changed(("corpora", 1, "filds"), {}), "corpora[1].filds: unknown key; did you mean 'fields'?"),
        (changed(("corpora", 0, "min-duration-s"), 1), "corpora[0].min-duration-s: unknown key; did you mean 'min_du"),
        (changed(("corpora", 0, "float"), 1), "corpora[0].float: unknown key; expected one of reader, name, root"),
        (changed(("ages", "x\ny"), 1), r"ages.'x\ny': unknown key; expected one of schemes"),
        (changed(("corpora", 0, "manifest"), "m.csv"), "corpora[0].manifest: unknown key; expected one of reader, na"),
        (changed(("corpora", 1, "fields"), {"pth": "x"}), "corpora[1].fields.pth: 'pth'; expected 'path', 'speaker',"),
        (without("name"), "name: missing; expected a value"),
        (without("corpora", 0, "root"), "corpora[0].root: missing; expected a value"),
        (without("splits", "num_test_speakers"), "splits.num_test_speakers: missing; expected a value"),
        (without("corpora", 1, "manifest"), "corpora[1].manifest: missing; expected a value"),
        (changed(("seed",), "3"), "seed: '3'; expected a valid integer"),
        (changed(("seed",), True), "seed: True; expected a valid integer"),
        (changed(("seed",), dt.date(2020, 1, 2)), "seed: '2020-01-02'; expected a valid integer"),
        (changed(("splits",), 3), "splits: 3; expected an object"),
        (without("splits"), "trials: there are none without splits; expected both sections, or neither"),
        (changed(("corpora",), {"name": "a"}), "corpora: {'name': 'a'}; expected a valid array"),
        (changed(("corpora", 0, "include"), "*.wav"), "corpora[0].include: '*.wav'; expected a valid array"),
        (changed(("corpora", 0, "min_duration_s"), "1"), "corpora[0].min_duration_s: '1'; expected a valid number"),
        (changed(("name",), "A b"), "name: 'A b'; expected text that matches '^[a-z0-9]"),
        (changed(("corpora", 0, "name"), "../x"), "corpora[0].name: '../x'; expected text that matches"),
        (changed(("seed",), -1), "seed: -1; expected greater than or equal to 0"),
        (
            changed(("embedding", "device"), "gpu"),
            "embedding: device 'gpu'; expected 'auto', 'cpu', 'cuda' or one such as 'cuda:1'",
        ),
        (
            changed(("embedding", "hop_s"), 5.0),
            "embedding: hop_s 5.0 leaves out what is between windows; expected at most part_s",
        ),
        (
            changed(("embedding", "precision"), "bfloat16"),
            "embedding: precision 'bfloat16': ge2e computes in float32 only; expected 'float32'",
        ),
        (
            changed(("runner", "address"), "tcp://host:1"),
            "runner: address 'tcp://host:1': threads have none; expected `kind` to be dask or ray",
        ),
        *(
            (
                changed(("embedding",), {"source": "someone/encoder"} | named),
                "embedding: source 'someone/encoder': ge2e takes none; "
                "expected no `source`, or `extractor` to be one of speechbrain, onnx, transformers, checkpoint",
            )
            for named in ({}, {"extractor": "ge2e"})
        ),
        *(
            (
                changed(("embedding",), {"extractor": extractor} | source),
                f"embedding.source: {fault}; expected {wanted}",
            )
            for extractor, wanted in (
                (
                    "speechbrain",
                    'a name at the Hugging Face hub such as "speechbrain/spkrec-ecapa-voxceleb", or a folder',
                ),
                ("onnx", 'a file such as "voxceleb_resnet34.onnx"'),
                ("transformers", 'a name at the Hugging Face hub such as "microsoft/wavlm-base", or a folder'),
                ("checkpoint", 'a folder with model.safetensors and model.json such as "checkpoints/ecapa"'),
            )
            for source, fault in (({}, "missing"), ({"source": ""}, "''"))
        ),
        (
            changed(("embedding",), {"extractor": "transformers", "source": "a/b"}),
            "embedding.layer: missing; expected the number of a layer such as 9, where 0 is what enters the first",
        ),
        (changed(("runner", "workers"), 0), "runner.workers: 0; expected greater than or equal to 1"),
        (
            changed(("embedding", "extractor"), "ecapa"),
            "embedding: extractor 'ecapa'; expected one of ge2e, speechbrain, onnx, transformers, checkpoint",
        ),
        (
            changed(("ages", "schemes"), ["leq29", "leq18"]),
            "ages.schemes[1]: 'leq18'; expected one of leq29, leq17, decades, or groups",
        ),
        (
            changed(("identities", "min_similarity"), 2),
            "min_similarity: 2; expected less than or equal to 1 or 'calibrated', 'extrac",
        ),
        (changed(("cleaning", "min_speaker_similarity"), math.nan), "cleaning.min_speaker_similarity: nan; expected l"),
        (changed(("cleaning", "iqr_factor"), math.inf), "cleaning.iqr_factor: inf; expected a finite number"),
        (changed(("trials", "cost_miss"), math.inf), "trials.cost_miss: inf; expected a finite number"),
        (changed(("trials", "p_target"), 1), "trials.p_target: 1; expected less than 1"),
        (changed(("splits", "num_test_speakers"), 3), "splits: num_test_speakers 3 must be even where sex_balanced is"),
        (changed(("corpora", 0, "max_duration_s"), 0.05), "corpora[0]: min_duration_s 0.1 must be less than max_dura"),
        (changed(("corpora", 0, "damaged"), "drop"), "corpora[0].damaged: 'drop'; expected 'refuse' or 'keep'"),
        (
            changed(("corpora", 0, "reader"), "fsd"),
            "corpora[0]: reader 'fsd'; expected one of librispeech, emodb, fsdd",
        ),
        (without("corpora", 0, "reader"), "corpora[0]: no reader; expected one of librispeech, emodb, fsdd"),
        (changed(("corpora", 1, "name"), "a"), "corpora: the name 'a' is given twice; expected one section a corpus"),
        (changed(("corpora",), []), "corpora: none; expected at least one [[corpora]] section"),
        (changed(("splits", "test_from"), ["c", "b"]), "splits.test_from: no corpus 'c'; expected any of a, b"),
        (changed(("catalog",), "~nobody-of-this-name/c"), "`~` of a user that is not there; expected another path"),
        ("name = ", "no TOML: Invalid value (at end of document)"),
        ('name = "a\nb"', "no TOML: Illegal character"),
        ("seed = 1\nseed = 2", "no TOML: Cannot overwrite a value (at end of document)"),
        ("seed = " + "[" * 5000, "no TOML: maximum recursion depth exceeded"),
        ("", "name: missing; expected a value; catalog: missing; expected a value; corpora: missing"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_a_fault_names_the_file_the_key_and_what_was_expected(folder, content, told):
    assert told in refusal(as_file(folder, content))


def test_every_fault_of_a_file_is_named_at_once(folder):
    told = refusal(as_file(folder, changed(("seed",), -1) | {"name": 3, "spltis": {}}))
    assert {part.split(":")[0] for part in told.split("; ") if ":" in part} == {"seed", "name", "spltis"}


def test_a_file_that_cannot_be_read_is_named(folder):
    assert refusal(folder / "none.toml") == "No such file or directory; expected a pipeline file (TOML)"
    assert refusal(folder) == "Is a directory; expected a pipeline file (TOML)"
    (folder / "latin.toml").write_bytes('name = "Zoë"'.encode("latin-1"))
    assert refusal(folder / "latin.toml").startswith("no TOML: 'utf-8' codec can't decode byte 0xeb")


# -------------------------------------------------------------------------------------------------------------- junk

words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x7f"), max_size=6)
keys = words | st.sampled_from(["name", "reader", "root", "fields", "manifest", "float", "a-b", "literal[x]"])
leaves = (
    words
    | st.sampled_from([*READERS, "extractor", "~", "~x/y"])
    | st.integers(-(2**70), 2**70)
    | st.booleans()
    | st.floats()
    | st.dates(dt.date(1000, 1, 1))
    | st.times()
)
junk = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3))


def said_well(file):
    try:
        return isinstance(load_pipeline(file), Pipeline)
    except PipelineError as error:
        return str(error).startswith(f"{file}: ") and len(str(error).splitlines()) == 1


@settings(deadline=None, max_examples=300)
@given(place=st.sampled_from(PLACES), value=junk)
def test_junk_in_place_of_any_value_is_a_pipeline_or_a_pipeline_error(folder, place, value):
    assert said_well(as_file(folder, changed(place, value)))


@settings(deadline=None, max_examples=200)
@given(place=st.sampled_from([p for p in PLACES if len(p) > 1]), key=keys, value=junk)
def test_junk_beside_any_value_is_a_pipeline_or_a_pipeline_error(folder, place, key, value):
    assert said_well(as_file(folder, changed((*place[:-1], key) if isinstance(place[-1], str) else place, value)))


@settings(deadline=None, max_examples=100)
@given(content=st.binary(max_size=60) | st.text("[]{}\"'=.,\n #ab1", max_size=30).map(str.encode))
def test_any_bytes_are_a_pipeline_error(folder, content):
    (folder / "bytes.toml").write_bytes(content)
    refusal(folder / "bytes.toml")


def test_the_good_file_of_these_tests_is_good(folder):
    assert os.path.isabs(load_pipeline(as_file(folder, GOOD)).catalog)
