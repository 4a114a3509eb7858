"""The protocols that come with Voxcurate, each built from a small catalog that has all that the design is about."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from benchmarks.protocol import load_protocol
from curate.ages import label_ages
from curate.errors import PipelineError
from tests.benchmarks.catalogs_made import built, catalog, enrolments, pairs, people, published, removals, sides


def speakers(corpus, reader, num, num_each, **more):
    """So many people, every other a woman, with so many utterances."""
    return [
        {"utterance": f"{label}/{at}/1", "speaker": label, "corpus": corpus, "reader": reader}
        | {"session_id": f"{corpus}/{label}/{at}", "sex": ("female", "male")[one % 2]}
        | {key: value(one) if callable(value) else value for key, value in more.items()}
        for one in range(num)
        for label in [more.get("label", "s{:03}").format(one)]
        for at in range(num_each)
    ]


def rows_of(*groups):
    return catalog(*({k: v for k, v in row.items() if k != "label"} for group in groups for row in group))


def aged(rows, scheme):
    """With the groups that the catalog's scheme gives."""
    labels = label_ages(rows, (scheme,))
    for column in ("age_group", "age_subgroup"):
        rows = rows.set_column(rows.column_names.index(column), column, labels[column])
    return rows


def test_vietsv():
    rows = rows_of(
        speakers("zalo", "zaloai", 60, 4),
        speakers("vivos", "vivos", 10, 3, corpus_split=lambda one: ("train", "test")[one % 2]),
        speakers("vlsp", "vlsp2020", 12, 3, identity_id=lambda one: f"zalo/s{one:03}"),
        speakers("cv", "common_voice", 8, 3, language=lambda one: ("vi", "en")[one // 4]),
    )
    made = built(load_protocol("vietsv"), rows)
    found = people(made)
    drawn = {one for one in found["test"] if one.startswith("zalo/")}
    assert sorted(int(one[-3:]) % 2 for one in drawn) == [0] * 20 + [1] * 20
    assert found["test"] - drawn == {f"vivos/s{one:03}" for one in range(1, 10, 2)}
    assert found["common-voice"] == {f"cv/s{one:03}" for one in range(4)}
    assert not found["test"] & found["train"]
    assert {one for one in sides(made)["train"] if one.startswith("vlsp/")}, "whom the test has not drawn"
    assert not any(one.startswith(("zalo/", "vlsp/")) for one in found["test"] & found["train"])
    assert len(pairs(made, "test", True)) == 40 * 6 + 5 * 3
    assert len(pairs(made, "common-voice", False)) == 2 * 9, "of one sex"
    joined = {f"zalo/s{one:03}" for one in range(12)} & drawn
    assert made.remarks == (
        f"split train: {3 * len(joined)} utterances of {len(joined)} people are not in it: "
        "other utterances of the same are in test",
    ), "of VLSP"


@pytest.mark.parametrize("scheme", ["leq29", "leq17"])
def test_voxceleb_enrichment(scheme):
    young = 29 if scheme == "leq29" else 17
    rows = rows_of(
        speakers("vox", "voxceleb", 90, 5, label="id00{:03}", age_min_years=lambda one: (young, 45, 70)[one % 3]),
        speakers("vox", "voxceleb", 5, 4, label="id09{:03}"),
        speakers("vox", "voxceleb", 3, 2, label="id10{:03}"),
    )
    at = rows.column_names.index("age_max_years")
    rows = aged(rows.set_column(at, "age_max_years", rows["age_min_years"]), scheme)
    one, two, other = "vox/id10000/0/1", "vox/id10000/1/1", "vox/id10002/0/1"
    lists = published(("list_test_hard2", one, two, True), ("list_test_hard2", one, other, False))
    made = built(load_protocol(f"voxceleb-enrichment-{scheme}"), rows, published=lists)
    sizes = {name: len(found) for name, found in sides(made).items()}
    assert sizes == {"eval": 45, "dev": 45, "train": 360, "voxceleb1": 6}
    assert people(made)["eval"] & people(made)["train"], "as in the paper"
    assert len(made.trials.filter(pc.equal(made.trials["list"], "eval"))) == 45 * 44 // 2
    assert (pairs(made, "vox1-h", True), pairs(made, "vox1-h", False)) == ([(one, two)], [(one, other)])
    assert removals(made, "filter", "enrichment") == [(f"in a group of {scheme}", 470, 20)]
    apart = built(load_protocol(f"voxceleb-enrichment-{scheme}-disjoint"), rows, published=lists)
    found = people(apart)
    assert {name: len(who) for name, who in found.items()} == {"eval": 9, "dev": 9, "train": 72, "voxceleb1": 3}
    assert sum(map(len, found.values())) == len(set.union(*found.values()))
    assert len(pairs(apart, "eval", True)) == 9 * 10


def sitw():
    """Speaker s of SITW; of VoxCeleb id10000 is on the list, id00001 is nowhere but sounds like s001 of eval."""
    rows = rows_of(
        speakers("sitw", "sitw", 4, 3, corpus_split=lambda one: ("eval", "dev")[one // 2]),
        speakers("vox", "voxceleb", 3, 2, label="id10{:03}", corpus_split="dev"),
        speakers("vox", "voxceleb", 1, 2, label="id11{:03}", corpus_split="test"),
        speakers("vox", "voxceleb", 3, 2, label="id00{:03}", corpus_split="dev"),
    )
    heard = {"vox/id00001": "sitw/s001"}
    rng = np.random.default_rng(0)
    voice = {one: rng.normal(size=16) for one in sorted(set(rows["identity_id"].to_pylist()))}
    vectors = np.stack([voice[heard.get(one, one)] for one in rows["identity_id"].to_pylist()]).astype(np.float32)
    vectors += rng.normal(scale=0.05, size=vectors.shape).astype(np.float32)
    model, test = "sitw/eval/enroll-assist/m1", "sitw/s001/0/1"
    lists = published(
        ("eval/core-core", "sitw/s000/0/1", "sitw/s000/1/1", True),
        ("eval/core-core", "sitw/s000/0/1", test, False),
        ("eval/assist-core", model, test, False),
        ("eval/assist-multi", model, "sitw/s000/2/1", True),
        ("dev/core-core", "sitw/s002/0/1", "sitw/s002/1/1", True),
    )
    models = enrolments(**{model: ["sitw/s000/0/1", "sitw/s000/1/1"]})
    return rows, {"published": lists, "enrolments": models, "vectors": (rows["utterance_id"], vectors)}


def test_sitw():
    rows, given = sitw()
    more = {"lists": {"voxceleb1-sitw": ["id10000", "id11250"]}, "thresholds": {"sitw": 0.8, "vox": 0.7}}
    made = built(load_protocol("sitw"), rows, **given, **more)
    assert people(made) == {
        "eval": {"sitw/s000", "sitw/s001"},
        "dev": {"sitw/s002", "sitw/s003"},
        "train": {"vox/id10001", "vox/id10002", "vox/id00000", "vox/id00002"},
    }
    by_list, by_voice = removals(made, "split", "train")[-2:]
    assert (by_list[1:], by_voice[1:]) == ((12, 2), (10, 2))
    assert "the list voxceleb1-sitw names (1 people)" in by_list[0]
    assert "the calibrated threshold of their corpora (1 people)" in by_voice[0]
    assert {row["list"] for row in made.trials.to_pylist()} == {
        "eval-core-core",
        "eval-assist-core",
        "eval-assist-multi",
        "dev-core-core",
    }
    assert made.models["model_id"].to_pylist() == ["sitw/eval/enroll-assist/m1"] * 2, "once, though in two lists"
    told = "\n".join(made.remarks)
    assert "vox/id00001 sounds like sitw/s001" in told
    assert "list dev-core-core: no nontarget is in it" in told
    assert "list eval-core-multi: no corpus brings a published list 'eval/core-multi'" in told
    assert "of 1 people whom the list voxceleb1-sitw names, 0 sound like somebody of eval or dev" in told


@pytest.mark.parametrize(
    ("lacking", "told"),
    [
        ("lists", "the list 'voxceleb1-sitw' is not given; expected `--list voxceleb1-sitw=FILE`"),
        ("vectors", "keep_apart.min_similarity: no vectors are given"),
        ("thresholds", "keep_apart.min_similarity: no calibrated threshold of corpus 'sitw'"),
        ("published", "list eval-core-core: no corpus brings a published list 'eval/core-core'; there is none"),
    ],
)
def test_sitw_is_not_built_without_what_keeps_it_apart(lacking, told):
    rows, given = sitw()
    more = {"lists": {"voxceleb1-sitw": ["id10000"]}, "thresholds": {"sitw": 0.8, "vox": 0.7}}
    kept = {key: value for key, value in (given | more).items() if key != lacking}
    with pytest.raises(PipelineError) as caught:
        built(load_protocol("sitw"), rows, **kept)
    assert told in str(caught.value)


def test_aihub_age():
    years = [15, 25, 39, 40, 59, 60, 69, 70, 80, 33]
    rows = rows_of(
        speakers("fcvg", "aihub", 100, 3, age_min_years=lambda one: years[one // 10]),
        speakers("ltv", "aihub", 1, 1, label="short{}", age_min_years=25, duration_s=0.9),
        speakers("ltv", "aihub", 1, 1, label="long{}", age_min_years=25, duration_s=20.1),
        speakers("ltv", "aihub", 1, 1, label="whole{}", age_min_years=25, duration_s=20.0),
    )
    at = rows.column_names.index("age_max_years")
    rows = aged(rows.set_column(at, "age_max_years", rows["age_min_years"]), "decades")
    made = built(load_protocol("aihub-age"), rows)
    assert {name: len(who) for name, who in people(made).items()} == {"eval": 7, "dev": 7, "train": 57}
    used = set.union(*sides(made).values())
    assert "ltv/whole0/0/1" in used
    labels = {row["utterance_id"]: row for row in rows.to_pylist()}
    classes = {(labels[one]["age_group"], labels[one]["age_subgroup"]) for one in used}
    assert classes == {
        ("20-39", "20-29"),
        ("20-39", "30-39"),
        ("40-59", "40-49"),
        ("40-59", "50-59"),
        ("60-69", "60-69"),
    }
    assert [removed for _, _, removed in removals(made, "filter", "aihub")] == [1, 1, 0, 90]
    assert len(made.trials) == 0
    assert isinstance(made.trials, pa.Table)
