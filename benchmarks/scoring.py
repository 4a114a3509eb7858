"""Score a trial list by cosine, and say how well the scores tell people apart."""

from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from benchmarks.intervals import Trials, person_intervals
from benchmarks.metrics import EER_CONVENTIONS, Costs, crossing, eer_and_min_dcf, least_cost
from curate.schema import RESULTS

TRIALS_AT_ONCE = 1024  # their vectors stay in the cache


def cosine_scores(trials: pa.Table, utterance_ids: pa.ChunkedArray, unit: NDArray[np.float32]) -> NDArray[np.float64]:
    """(T,) cosines of the trials; row i of `unit` (N, D) is the unit vector of `utterance_ids[i]`.

    Raises ValueError naming an utterance that has no vector.
    """
    left, right = (_places(trials[column], utterance_ids) for column in ("enrol_id", "test_id"))
    scores = np.empty(len(left))
    for start in range(0, len(left), TRIALS_AT_ONCE):
        some = slice(start, start + TRIALS_AT_ONCE)
        scores[some] = np.einsum("td,td->t", unit[left[some]], unit[right[some]])
    return scores


def _places(ids: pa.ChunkedArray, among: pa.ChunkedArray) -> NDArray[np.int64]:
    found = pc.index_in(ids, value_set=among.combine_chunks())
    if found.null_count:
        absent = ids.filter(pc.is_null(found))[0].as_py()
        raise ValueError(
            f"{absent}: {found.null_count} utterances of the trials have no embedding; expected one for each"
        )
    places: NDArray[np.int64] = found.to_numpy()
    return places


def result_rows(
    scores: NDArray[np.float64],
    trials: pa.Table,
    identity: dict[str, str],
    *,
    benchmark: str,
    system: str,
    costs: Costs,
    rng: np.random.Generator,
) -> pa.Table:
    """EER and minDCF with their intervals, conventions and numbers of trials; `identity` is by utterance."""
    is_target = trials["is_target"].to_numpy()
    people = [[identity[i] for i in trials[column].to_pylist()] for column in ("enrol_id", "test_id")]
    enrol, test = np.unique(people, return_inverse=True)[1].reshape(2, -1)  # only who is in a trial can be drawn
    scored = Trials(scores=scores, is_target=is_target, enrol_person=enrol, test_person=test)
    eer_interval, dcf_interval = person_intervals(scored, [crossing, partial(least_cost, costs=costs)], rng=rng)
    common = {
        "benchmark": benchmark,
        "list": "test",
        "system": system,
        "subset": "all",
        "num_target": int(is_target.sum()),
        "num_nontarget": int((~is_target).sum()),
    }
    eer, (min_dcf,) = eer_and_min_dcf(scores, is_target, [costs])
    figures = [
        ("eer", eer, eer_interval, EER_CONVENTIONS),
        ("min_dcf", min_dcf, dcf_interval, costs.conventions()),
    ]
    rows = [
        common
        | {"metric": metric, "value": value, "lower": _or_null(low), "upper": _or_null(high), "conventions": text}
        for metric, value, (low, high), text in figures
    ]
    return pa.Table.from_pylist(rows, schema=RESULTS.arrow())


def _or_null(value: float) -> float | None:
    return None if np.isnan(value) else value
