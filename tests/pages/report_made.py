"""A small catalog to report on, whose names are as odd as names can be, and parts of it."""

import numpy as np
import pyarrow as pa

from curate.catalog import Catalog, rows_of
from curate.schema import (
    DECISIONS,
    EMBEDDINGS,
    TABLES,
)
from pages.report.material import gathered

SCRIPT, MATH, TURNED = "<script>alert(1)</script>", "a$b^{$\\frac", "\u202eabc\u05e9\u05dc\u05d5\u05dd"
LONG, LINES, AMPERSAND = "\u1ed1" * 5_000, "_one\nline", "\"a\" & 'b' \u4e2d\u6587 %s"
CORPORA_NAMED = (SCRIPT, "plain", TURNED)
LABELS = (f"{SCRIPT}/{MATH}", f"{SCRIPT}/{LONG}", f"{SCRIPT}/{LONG}\u1ed1")
LABELS += (f"plain/{LINES}", f"plain/{AMPERSAND}", "plain/</svg><img src=x onerror=alert(1)>")
LABELS += (f"{TURNED}/\u0645\u0631\u062d\u0628\u0627", f"{TURNED}/\U0001f600")
EACH = 6  # utterances of a label
PERSON = {LABELS[1]: LABELS[0], LABELS[3]: LABELS[0], LABELS[6]: LABELS[4]}  # others are themselves
DROPPED_LABEL = LABELS[7]
BENCHMARK = "odd <b>"


def utterance(corpus, label, number, **more):
    """One row of utterances; `label` is a speaker_id."""
    name = f"{label}/{number}"
    row = {"utterance_id": name, "corpus": corpus, "speaker_id": label, "path": f"{name}.wav", "start_s": 0.0}
    return row | {"duration_s": 2.0} | more


def decision(subject_id, verdict, reason, *, step="clean", subject="utterance", other=None, score=None):
    """One row of decisions."""
    row = {"subject": subject, "subject_id": subject_id, "other_id": other, "verdict": verdict, "reason": reason}
    return row | {"score": score, "decided_by": "a rule", "step": step, "run_id": "0"}


def put(catalog, table, rows, part="all"):
    catalog.publish(table, rows if isinstance(rows, pa.Table) else rows_of(table, rows), part=part, fingerprint="")


def put_vectors(catalog, vectors, extractor="ge2e"):
    """`vectors` maps ids to arrays (D,)."""
    values = np.stack([vectors[one] for one in sorted(vectors)]).astype(np.float32)
    lists = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
    columns = {"utterance_id": sorted(vectors), "extractor": [extractor] * len(values), "vector": lists}
    put(catalog, EMBEDDINGS, pa.table(columns), extractor)


def write_tables(root, rows):
    """A catalog of rows by the name of their table; decisions by their steps, all else in one part."""
    catalog = Catalog(root)
    for name, some in rows.items():
        if name == "decisions":
            for step in sorted({row["step"] for row in some}):
                put(catalog, DECISIONS, [row for row in some if row["step"] == step], step)
        else:
            by = "benchmark" if name in ("splits", "trials", "models") else None
            for part in sorted({row[by] for row in some}) if by else ["all"]:
                put(catalog, TABLES[name], [row for row in some if not by or row[by] == part], part)
    return catalog


def material_of(root, **rows):
    """What a report on a catalog of these rows is made of; `vectors` maps ids to arrays."""
    vectors = rows.pop("vectors", None)
    catalog = write_tables(root, rows)
    if vectors:
        put_vectors(catalog, vectors)
    return gathered(catalog)


def write_odd(root):
    """All that a report can show: 48 utterances of 8 labels of 5 people, in three corpora."""
    rng = np.random.default_rng(0)
    corpus_of = {label: next(one for one in CORPORA_NAMED if label.startswith(f"{one}/")) for label in LABELS}
    uttered, vectors = [], {}
    direction = {label: rng.normal(size=8) for label in LABELS}
    for place, label in enumerate(LABELS):
        sex = ("female", "male", None)[place % 3]
        for number in range(EACH):
            age = None if place == 5 else 20 + 6 * place
            more = {"sex": sex, "age_min_years": age, "age_max_years": age, "duration_s": 1.0 + 0.3 * number}
            uttered.append(utterance(corpus_of[label], label, number, **more))
            vectors[f"{label}/{number}"] = direction[PERSON.get(label, label)] + 0.4 * rng.normal(size=8)
    ids = {label: [f"{label}/{number}" for number in range(EACH)] for label in LABELS}
    decisions = [
        decision(ids[LABELS[0]][0], "drop", "too_short", step="ingest"),
        decision(ids[LABELS[3]][1], "drop", "wrong_speaker"),
        decision(ids[LABELS[4]][2], "drop", "wrong_speaker"),
        decision(DROPPED_LABEL, "drop", "mixed_speaker", subject="speaker", score=0.1),
        *(decision(one, "drop", "invalid_speaker") for one in ids[DROPPED_LABEL]),
        decision(ids[LABELS[4]][2], "keep", "reviewed", step="review"),
        decision(ids[LABELS[5]][0], "drop", "reviewed", step="review"),
        decision(ids[LABELS[2]][0], "relabel", "reviewed", step="review", other=LABELS[0]),
        *(
            decision(one, "merge", "same_person", step="identities", subject="pair", other=other, score=score)
            for one, other, score in (
                (LABELS[0], LABELS[1], 0.9),
                (LABELS[0], LABELS[3], None),
                (LABELS[4], LABELS[6], 0.8),
            )
        ),
        decision(LABELS[2], "keep", "sex_conflict", step="identities", subject="pair", other=LABELS[5], score=0.75),
    ]
    out = {ids[LABELS[0]][0], ids[LABELS[3]][1], ids[LABELS[5]][0], *ids[DROPPED_LABEL]}
    left = [row["utterance_id"] for row in uttered if row["utterance_id"] not in out]
    test = [one for one in left if one.startswith((SCRIPT, f"plain/{LINES}"))]
    person = {one: PERSON.get(label, label) for label in LABELS for one in ids[label]}
    model = f"{SCRIPT}/model"
    pairs = [(one, other) for at, one in enumerate(test) for other in test[at + 1 :]]
    about = {"benchmark": BENCHMARK}
    rows = {
        "corpora": [
            {"corpus": one, "reader": "folder", "root": "/r", "licence": "<i>CC0</i>"} for one in CORPORA_NAMED
        ],
        "utterances": uttered,
        "decisions": decisions,
        "identities": [{"speaker_id": one, "identity_id": PERSON.get(one, one)} for one in LABELS],
        "speaker_scores": [
            {"speaker_id": one, "num_utterances": EACH, "self_similarity": 0.8 + 0.01 * at}
            for at, one in enumerate(LABELS)
        ],
        "speaker_pairs": [{"speaker_id": LABELS[2], "other_id": LABELS[4], "similarity": 0.7}],
        "age_labels": [
            {"scheme": "leq29", "utterance_id": row["utterance_id"]}
            | (
                {"unlabelled_because": "no_age"}
                if row["age_min_years"] is None
                else {"age_group": "young" if row["age_min_years"] < 30 else "adult"}
            )
            for row in uttered
        ],
        "splits": [
            about | {"utterance_id": one, "identity_id": person[one], "split": "test" if one in test else "train"}
            for one in left[:-2]
        ],
        "models": [about | {"model_id": model, "utterance_id": one} for one in test[:2]],
        "trials": [
            *(
                about | {"list": f"all {SCRIPT}", "enrol_id": a, "test_id": b, "is_target": person[a] == person[b]}
                for a, b in pairs
            ),
            *(
                about | {"list": "models", "enrol_id": model, "test_id": one, "is_target": person[one] == LABELS[0]}
                for one in test[2:]
            ),
        ],
    }
    catalog = write_tables(root, rows)
    put_vectors(catalog, {one: vectors[one] for one in vectors if one != ids[LABELS[0]][0]})
    return catalog
