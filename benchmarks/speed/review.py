"""How fast what a reviewer looks at is found among 200,000 utterances, beside the plain ways.

    .venv/bin/python -m benchmarks.speed.review [--utterances 200000] [--reviews 100000] [--rounds 3]

A catalog is made up and published in a temporary folder: 50 utterances a speaker, four corpora, d 256, a verdict on
each utterance, speaker and candidate pair. Timed are the order of doubt and a page of 50 out of it, opening the
vectors, the cosines of 2,000 utterances, what stands of all reviews, and one decision said and on the disk. The plain
ways are those of a notebook: loops over rows as dicts, and scipy's pairwise distances. How it is timed: `turns`.
"""

import argparse
import math
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from benchmarks.speed.turns import in_turns, machine
from curate.blocks import fixed_size_lists
from curate.catalog import Catalog
from curate.closeness import Closeness
from curate.decisions import Author, verdicts
from curate.doubts import doubts
from curate.named import Review
from curate.reasons import Reason, Subject, Verdict
from curate.reviews import decide, said, standing
from curate.schema import (
    CALIBRATIONS,
    DECISIONS,
    EMBEDDINGS,
    IDENTITIES,
    REVIEWS,
    SPEAKER_PAIRS,
    UTTERANCE_SCORES,
    UTTERANCES,
)
from curate.similarity import Vectors, unit

DIMENSION, NUM_CORPORA, UTTERANCES_A_SPEAKER = 256, 4, 50
IN_A_MATRIX, A_PAGE = 2_000, 50
Rows = list[dict[str, Any]]


def fill(root: Path, num_utterances: int, num_reviews: int) -> Catalog:
    """A catalog of so many; utterances are `c0/s00000/u0000000`."""
    rng, catalog = np.random.default_rng(1), Catalog(root)
    speaker = np.arange(num_utterances) // UTTERANCES_A_SPEAKER
    num_speakers = int(speaker[-1]) + 1
    corpus_of = np.arange(num_speakers) * NUM_CORPORA // num_speakers
    speaker_ids = np.array([f"c{corpus_of[one]}/s{one:05d}" for one in range(num_speakers)])
    ids = np.array([f"{speaker_ids[one]}/u{row:07d}" for row, one in enumerate(speaker)])
    for corpus in range(NUM_CORPORA):
        mine = np.flatnonzero(corpus_of[speaker] == corpus)
        names = {
            "utterance_id": ids[mine],
            "corpus": [f"c{corpus}"] * len(mine),
            "speaker_id": speaker_ids[speaker[mine]],
        }
        rows = UTTERANCES.rows(names | {"path": ids[mine], "start_s": np.zeros(len(mine))})
        catalog.publish(UTTERANCES, rows, part=f"c{corpus}", fingerprint="f")
    vectors = rng.standard_normal((num_speakers, DIMENSION), np.float32)[speaker]
    vectors += rng.standard_normal(vectors.shape, np.float32)
    heard = {"utterance_id": ids, "extractor": ["x"] * len(ids), "vector": fixed_size_lists(unit(vectors))}
    catalog.publish(EMBEDDINGS, pa.table(heard), part="x", fingerprint="f")
    author = Author(rule="robust", step="clean", run_id="0")
    margin, score = rng.normal(0.1, 0.08, num_utterances), rng.normal(0.9, 0.05, num_speakers)
    judged = [
        _judged(author, Subject.UTTERANCE, ids, margin, -0.05, Reason.UNLIKE_SPEAKER),
        _judged(author, Subject.SPEAKER, speaker_ids, score, 0.75, Reason.INCOHERENT_SPEAKER),
    ]
    catalog.publish(DECISIONS, pa.concat_tables(judged), part="clean", fingerprint="f")
    nearest = speaker_ids[(speaker + rng.integers(1, num_speakers, len(speaker))) % num_speakers]
    scores = {"utterance_id": ids, "speaker_id": speaker_ids[speaker], "nearest_speaker_id": nearest}
    catalog.publish(UTTERANCE_SCORES, UTTERANCE_SCORES.rows(scores), fingerprint="f")
    people = {"speaker_id": speaker_ids, "identity_id": speaker_ids}
    catalog.publish(IDENTITIES, IDENTITIES.rows(people), fingerprint="f")
    first = np.arange(num_speakers - 1)
    similarity = rng.normal(0.6, 0.08, len(first))
    pairs = {"speaker_id": speaker_ids[first], "other_id": speaker_ids[first + 1], "similarity": similarity}
    catalog.publish(SPEAKER_PAIRS, SPEAKER_PAIRS.rows(pairs), fingerprint="f")
    alike = np.flatnonzero(similarity >= 0.75)
    same = verdicts(
        Author(rule="mean cosine", step="identities", run_id="0"),
        Subject.PAIR,
        pa.array(speaker_ids[first[alike]]),
        other_ids=pa.array(speaker_ids[first[alike] + 1]),
        verdict=Verdict.MERGE,
        reason=Reason.SAME_PERSON,
        score=similarity[alike],
        lower_bound=0.75,
    )
    catalog.publish(DECISIONS, same, part="identities", fingerprint="f")
    corpora = [f"c{corpus}" for corpus in range(NUM_CORPORA)]
    floats = ("threshold_lower", "threshold_upper", "wanted_rate", "rate", "rate_lower", "rate_upper")
    told = {
        "corpus": corpora,
        "told_by": corpora,
        "threshold": [0.75] * NUM_CORPORA,
        "is_told_apart": [True] * NUM_CORPORA,
    }
    told |= dict.fromkeys(floats, [0.0] * NUM_CORPORA) | dict.fromkeys(("num_people", "num_pairs"), [9] * NUM_CORPORA)
    catalog.publish(CALIBRATIONS, CALIBRATIONS.rows(told), fingerprint="f")
    for number, reviewer in enumerate(("ann", "bob")):
        of = rng.choice(ids, num_reviews // 2)
        verdict = rng.choice(["keep", "drop", "back"], len(of), p=[0.5, 0.4, 0.1])
        num_before = np.arange(len(of))
        at = pa.array(1_700_000_000_000_000 + 2 * num_before + number, pa.timestamp("us", tz="UTC"))
        columns = {"reviewer": [reviewer] * len(of), "num_before": num_before, "said_at": at, "subject_id": of}
        columns |= {"subject": ["utterance"] * len(of), "verdict": pa.array(verdict, mask=verdict == "back")}
        catalog.publish(REVIEWS, REVIEWS.rows(columns), part=reviewer, fingerprint="f")
    return catalog


def _judged(
    author: Author, subject: Subject, ids: NDArray[np.str_], score: NDArray[np.float64], bound: float, why: Reason
) -> pa.Table:
    well = score >= bound
    verdict, reason = np.where(well, Verdict.KEEP, Verdict.DROP), np.where(well, Reason.OK, why)
    return verdicts(author, subject, pa.array(ids), verdict=verdict, reason=reason, score=score, lower_bound=bound)


def doubts_by_loops(catalog: Catalog) -> Rows:
    """What `doubts` finds where each subject has one verdict, as here."""
    corpus_of, rows, found = {}, catalog.read(DECISIONS).to_pylist(), set()
    for row in catalog.read(UTTERANCES).to_pylist():
        corpus_of[row["utterance_id"]] = corpus_of[row["speaker_id"]] = row["corpus"]
    threshold = {row["corpus"]: row["threshold"] for row in catalog.read(CALIBRATIONS).to_pylist()}
    for row in rows:
        found.add((row["subject_id"], row["other_id"]))
    for pair in catalog.read(SPEAKER_PAIRS).to_pylist():
        if (pair["speaker_id"], pair["other_id"]) not in found:
            bound = max(threshold[corpus_of[pair[name]]] for name in ("speaker_id", "other_id"))
            ids = {"subject": "pair", "subject_id": pair["speaker_id"], "other_id": pair["other_id"], "reason": None}
            rows.append(ids | {"score": pair["similarity"], "lower_bound": bound, "verdict": "keep"})
    scores = defaultdict(list)
    for row in rows:
        scores[row["subject"]].append(row["score"])
    middle = {subject: statistics.median(some) for subject, some in scores.items()}
    spread = {
        subject: 1.4826 * statistics.median(abs(score - middle[subject]) for score in some)
        for subject, some in scores.items()
    }
    person = {row["speaker_id"]: row["identity_id"] for row in catalog.read(IDENTITIES).to_pylist()}
    nearest_to_own_person = {
        row["utterance_id"]
        for row in catalog.read(UTTERANCE_SCORES).to_pylist()
        if person[row["speaker_id"]] == person[row["nearest_speaker_id"]]
    }
    for row in rows:
        row["corpus"] = corpus_of[row["subject_id"]]
        row["doubt"] = 0.0
        if row["subject_id"] not in nearest_to_own_person:  # there are none here
            row["doubt"] = math.exp(-abs(row["score"] - row["lower_bound"]) / spread[row["subject"]])
    return sorted(rows, key=lambda row: (-row["doubt"], row["subject"], row["subject_id"], row["other_id"] or ""))


def page(rows: pa.Table) -> list[str]:
    """Fifty utterances of one corpus that are dropped, from the 101st on."""
    chosen = (pc.field("corpus") == "c2") & (pc.field("verdict") == "drop") & (pc.field("doubt") < 0.9)
    ids: list[str] = rows.filter(chosen).slice(100, A_PAGE)["subject_id"].to_pylist()
    return ids


def page_by_loops(rows: Rows) -> list[str]:
    """The same."""
    chosen = [row for row in rows if row["corpus"] == "c2" and row["verdict"] == "drop" and row["doubt"] < 0.9]
    return [row["subject_id"] for row in chosen[100 : 100 + A_PAGE]]


def opened(catalog: Catalog, ids: list[str]) -> Closeness:
    """Read by asking something."""
    closeness = Closeness(catalog)
    closeness.matrix(ids[:1])
    return closeness


def opened_by_loops(catalog: Catalog) -> tuple[dict[str, Vectors], dict[str, Vectors]]:
    """Vectors by id, and means by label."""
    label = dict(
        zip(*catalog.read(UTTERANCES).select(["utterance_id", "speaker_id"]).to_pydict().values(), strict=True)
    )
    vector_of, of = {}, defaultdict(list)
    for batch in catalog.read(EMBEDDINGS).to_batches():
        for row in batch.to_pylist():
            vector = np.array(row["vector"], np.float32)
            vector_of[row["utterance_id"]] = vector / np.linalg.norm(vector)
            of[label[row["utterance_id"]]].append(vector_of[row["utterance_id"]])
    return vector_of, {one: np.mean(vectors, axis=0) for one, vectors in of.items()}


def standing_by_loops(reviews: pa.Table) -> list[str]:
    """The ids on which something stands; here of utterances alone."""
    left: dict[str, dict[str, int]] = defaultdict(dict)
    rows = sorted(reviews.to_pylist(), key=lambda row: (row["said_at"], row["reviewer"], row["num_before"]))
    for place, row in enumerate(rows):
        words = left[row["subject_id"]]
        if row["verdict"] is not None:
            words[row["reviewer"]] = place
        elif row["reviewer"] in words:
            del words[row["reviewer"]]
        else:
            words.clear()
    return sorted(one for one, words in left.items() if words)


def compare(title: str, ways: dict[str, Callable[[], Any]], rounds: int, same: Callable[[Any, Any], bool]) -> Any:
    """Print one line a way, the first of which is ours; return what ours found."""
    ours, *others = ways
    turns = in_turns(ways, rounds=rounds)
    print(title, *turns.lines(ours), sep="\n")
    for name in others:
        print(f"  {name}: {'the same' if same(turns.found[ours], turns.found[name]) else 'ANOTHER RESULT'}")
    return turns.found


def main() -> None:
    """Compare each in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--utterances", type=int, default=200_000)
    parser.add_argument("--reviews", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        catalog = fill(Path(folder), asked.utterances, asked.reviews)
        compare_all(catalog, asked.rounds)


def compare_all(catalog: Catalog, rounds: int) -> None:
    """Print all that is compared."""
    ways: dict[str, Callable[[], Any]] = {"doubts (ours)": lambda: doubts(catalog)}
    ways["loops over rows, sorted"] = lambda: doubts_by_loops(catalog)
    found = compare("all in the order of doubt", ways, rounds, lambda a, b: _ids(a) == [row["subject_id"] for row in b])
    table, rows = found.values()
    ways = {"Arrow (ours)": lambda: page(table), "a loop over rows": lambda: page_by_loops(rows)}
    compare("one page of 50", ways, rounds, list.__eq__)
    ids = catalog.read(UTTERANCES)["utterance_id"].slice(0, IN_A_MATRIX).to_pylist()
    ways = {"Closeness (ours)": lambda: opened(catalog, ids), "loops over rows": lambda: opened_by_loops(catalog)}
    found = compare("vectors opened", ways, 1, lambda a, b: a.matrix(ids[:1]).shape == (1, 1) and len(b[0]) > 0)
    closeness, (vector_of, _) = found.values()
    vectors = np.stack([vector_of[one] for one in ids])
    ways = {
        "matrix (ours)": lambda: closeness.matrix(ids),
        "scipy cdist": lambda: 1 - cdist(vectors, vectors, "cosine"),
    }
    compare(f"cosines of {IN_A_MATRIX:,}", ways, rounds, lambda a, b: np.allclose(a, b, atol=1e-5))
    ways = {"nearest labels (ours)": lambda: closeness.nearest_speakers(Subject.UTTERANCE, ids[0])}
    compare("of one utterance", ways, rounds, list.__eq__)
    reviews = said(catalog)
    ways = {"standing (ours)": lambda: standing(reviews), "a loop over rows": lambda: standing_by_loops(reviews)}
    compare(f"what stands of {len(reviews):,} reviews", ways, rounds, lambda a, b: _ids(a) == b)
    drop = [Review(subject=Subject.UTTERANCE, subject_id=ids[0], verdict=Verdict.DROP)]
    ways = {
        "by somebody who said nothing before": lambda: decide(catalog, "carl", drop),
        f"by somebody who said {len(reviews) // 2:,} things": lambda: decide(catalog, "ann", drop),
    }
    print("one decision", *in_turns(ways, rounds=rounds).lines(next(iter(ways))), sep="\n")


def _ids(rows: pa.Table) -> list[str]:
    ids: list[str] = rows["subject_id"].to_pylist()
    return ids


if __name__ == "__main__":
    main()
