"""Rows of a catalog that are made up, as `benchmarks.building.build` takes them, and protocols over them."""

import pyarrow as pa

from benchmarks.building import build
from benchmarks.protocol import Protocol, Source, Split
from curate.schema import ENROLMENTS, PUBLISHED_TRIALS, UTTERANCES

ROWS = pa.schema(
    [
        *UTTERANCES.arrow(),
        *(pa.field(name, pa.string()) for name in ("identity_id", "reader", "age_group", "age_subgroup")),
    ]
)
TOY = Source(name="toy", corpora=("toy",))


def catalog(*rows):
    """Rows of whatever is said; else a person is a label, and a recording an utterance."""
    full = []
    for row in rows:
        corpus, label = row.get("corpus", "toy"), row["speaker"]
        name = row["utterance"]
        about = {
            "utterance_id": f"{corpus}/{name}",
            "corpus": corpus,
            "reader": corpus,
            "speaker_id": f"{corpus}/{label}",
            "identity_id": f"{corpus}/{label}",
            "path": f"{name}.wav",
            "start_s": 0.0,
            "duration_s": 5.0,
        }
        rest = {key: value for key, value in row.items() if key not in ("utterance", "speaker")}
        full.append(dict.fromkeys(ROWS.names) | about | rest)
    return pa.Table.from_pylist(full, schema=ROWS)


def protocol(*splits, sources=(TOY,), **more):
    """A protocol over these splits."""
    about = {"name": "made", "version": 1, "title": "Made up", "paper": "none", "description": "none", "seed": 7}
    return Protocol(**about | {"sources": tuple(sources), "splits": tuple(splits)} | more)


def published(*rows):
    """(list, enrol, test, is_target)."""
    keys = ("list", "enrol_id", "test_id", "is_target")
    named = [{"corpus": "toy"} | dict(zip(keys, row, strict=True)) for row in rows]
    return pa.Table.from_pylist(named, schema=PUBLISHED_TRIALS.arrow())


def enrolments(**models):
    """The utterances of each model."""
    rows = [{"corpus": "toy", "model_id": m, "utterance_id": u} for m, several in models.items() for u in several]
    return pa.Table.from_pylist(rows, schema=ENROLMENTS.arrow())


def built(asked, rows, *, published=None, enrolments=None, **more):
    """Build, with nothing published where nothing is said."""
    none = {"published": PUBLISHED_TRIALS.arrow().empty_table(), "enrolments": ENROLMENTS.arrow().empty_table()}
    given = {"published": published, "enrolments": enrolments}
    if more.get("vectors") is not None:
        ids, vectors = more["vectors"]
        told = pa.chunked_array([pa.array(str(one) for one in ids)], pa.string())
        more["vectors"] = lambda: (told, vectors.copy())
    return build(asked, utterances=rows, **none | {k: v for k, v in given.items() if v is not None}, **more)


def sides(made):
    """The utterances of each split."""
    found = {}
    for row in made.splits.to_pylist():
        found.setdefault(row["split"], set()).add(row["utterance_id"])
    return found


def people(made):
    """The people of each split."""
    found = {}
    for row in made.splits.to_pylist():
        found.setdefault(row["split"], set()).add(row["identity_id"])
    return found


def pairs(made, name, is_target):
    """The pairs of one kind of a list, in their order."""
    return [
        (row["enrol_id"], row["test_id"])
        for row in made.trials.to_pylist()
        if (row["list"], row["is_target"]) == (name, is_target)
    ]


def removals(made, stage, part):
    """(rule, examined, removed) of one part."""
    return [
        (row["rule"], row["num_examined"], row["num_removed"])
        for row in made.removals.to_pylist()
        if (row["stage"], row["part"]) == (stage, part)
    ]


def several(num_people, num_sessions=2, num_each=2, **more):
    """So many people, every other a woman, with so many sessions of so many utterances."""
    return [
        {
            "utterance": f"p{p:03}-{s}-{u}",
            "speaker": f"p{p:03}",
            "session_id": f"toy/p{p:03}/{s}",
            "sex": ("female", "male")[p % 2],
        }
        | more
        for p in range(num_people)
        for s in range(num_sessions)
        for u in range(num_each)
    ]


ALL = Split(name="all", sources=("toy",))
