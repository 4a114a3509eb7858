"""What rules say of utterances, speakers and pairs, the most doubtful first: what a person had better look at.

A verdict is doubtful where what was measured lies near the bound that it was held against. Cosines of pairs, margins of
utterances and likenesses of halves of a label are different scales; each is therefore counted in spreads of its own.
What nothing was measured of, such as a file that cannot be read, and what only follows from another verdict, such as
the utterances of a speaker who was dropped, is in no doubt: it comes last. So does a kept utterance that could as well
be of another label, where both labels are one person: half of all that a merged person said would come first.
"""

import json
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.catalog import Catalog, rows_of
from curate.decisions import REVIEW, about
from curate.reasons import Reason, Subject, Verdict
from curate.schema import CALIBRATIONS, DECISIONS, IDENTITIES, RUNS, SPEAKER_PAIRS, UTTERANCE_SCORES, UTTERANCES, Table
from curate.similarity import Scores

DOUBTS = pa.schema(
    [
        *(DECISIONS.arrow().field(name) for name in ("subject", "subject_id", "other_id")),
        pa.field("speaker_id", pa.string()),  # the label that the utterance came under; else that of subject_id
        pa.field("corpus", pa.string()),
        pa.field("other_corpus", pa.string()),  # of pairs
        pa.field("verdict", pa.string(), nullable=False),
        pa.field("reason", pa.string()),  # null for a pair that no rule decided on
        *(DECISIONS.arrow().field(name) for name in ("score", "lower_bound", "upper_bound")),
        pa.field("doubt", pa.float64(), nullable=False),
        pa.field("step", pa.string(), nullable=False),
        pa.field("decided_by", pa.string()),  # null for a pair that no rule decided on
        pa.field("about", pa.string(), nullable=False),
    ]
)
INGEST, COMPARING = "ingest", "identities"
STEPS = (INGEST, "embed", "duplicates", "clean", COMPARING)  # in the order in which they judge
# The score that stands beside these is not why they were given.
FOLLOWS = (Reason.INVALID_SPEAKER, Reason.ANOTHER_PERSON, Reason.TOO_FEW_LEFT, Reason.TOO_FEW_TO_JUDGE)
MIN_TO_SPREAD = 5  # fewer scores say nothing of how they are spread
NORMAL_MADS = 1.4826  # standard deviations in a median absolute deviation, where scores are normal


def doubts(catalog: Catalog) -> pa.Table:
    """What rules say, a row (of DOUBTS) for each utterance, speaker and pair that they speak of, most doubtful first.

    Of an utterance that several speak of, the one that settled it: the first step that dropped it or gave it another
    label, else the last that kept it. Pairs of `speaker_pairs` that no rule decided on are there as kept, without a
    reason. What the step `review` says is no rule's; of a pair that a reviewer spoke of stands what the rule would say
    by what it measured (`as_measured`). Of equal doubt the order is that of subjects and ids. Tables that a catalog
    lacks yet are taken for empty. Raises CatalogError where there is no catalog.
    """
    utterances = catalog.read(UTTERANCES, columns=["utterance_id", "speaker_id", "corpus"])
    ruled = settling(_read(catalog, DECISIONS, [name for name in DECISIONS.arrow().names if name != "run_id"]))
    corpus_of = (
        utterances.group_by("speaker_id").aggregate([("corpus", "min")]).rename_columns(["speaker_id", "corpus"])
    )
    rows = pa.concat_tables([as_measured(ruled), _near_misses(catalog, ruled, corpus_of)], promote_options="default")
    return most_doubtful_first(rows, utterances, corpus_of, _nearest_to_own_person(catalog))


def most_doubtful_first(
    rows: pa.Table, utterances: pa.Table, corpus_of: pa.Table, nearest_to_own_person: pa.Array
) -> pa.Table:
    """Rows of decisions with the column `about`, one a subject, as rows of DOUBTS in their order.

    `utterances` (utterance_id, speaker_id) and `corpus_of` (speaker_id, corpus) are looked up in. The last are the ids
    of utterances that are nearest to another label of their own person.
    """
    is_utterance, is_pair = (pc.equal(rows["subject"], kind) for kind in (Subject.UTTERANCE, Subject.PAIR))
    own = _looked_up(rows["subject_id"], utterances["utterance_id"], utterances["speaker_id"])
    speaker = pc.if_else(is_utterance, own, rows["subject_id"])
    second = pc.if_else(is_pair, rows["other_id"], pa.scalar(None, pa.string()))
    found = {name: rows[name] for name in rows.column_names} | {
        "speaker_id": speaker,
        "corpus": _corpus(speaker, corpus_of),
        "other_corpus": _corpus(second, corpus_of),
        "doubt": pa.array(_doubt(rows, nearest_to_own_person)),
    }
    told = pa.table({name: found[name] for name in DOUBTS.names}).cast(DOUBTS)
    names = ("subject", "subject_id", "other_id")
    return told.sort_by([("doubt", "descending"), *((name, "ascending") for name in names)]).combine_chunks()


def settling(decisions: pa.Table) -> pa.Table:
    """Of rules' decisions those that settled their subjects, one for each, with the column `about`."""
    rules = decisions.filter(pc.not_equal(decisions["step"], REVIEW)).combine_chunks()
    rules = rules.append_column("about", about(rules))
    turn = pc.fill_null(pc.index_in(rules["step"], value_set=pa.array(STEPS)), len(STEPS)).to_numpy()
    is_kept = pc.equal(rules["verdict"], Verdict.KEEP).to_numpy()
    subject = rules["about"].combine_chunks().dictionary_encode().indices.to_numpy()
    order = np.lexsort((np.where(is_kept, -turn, turn), is_kept, subject))
    first = np.diff(subject[order], prepend=-1) != 0
    return rules.take(pa.array(order[first]))


def as_measured(ruled: pa.Table) -> pa.Table:
    """The rows, and of pairs that a reviewer decided on what the rule would have said in his place.

    The step `identities` carries his word out and writes its own score beside it: from the bound on it would have
    merged, where no guard forbade it, and below it would not have spoken. Where it measured nothing there is no row.
    """
    is_reviewed = pc.equal(ruled["reason"], Reason.REVIEWED)
    rows = ruled.filter(pc.invert(pc.and_(is_reviewed, pc.is_null(ruled["score"]))))
    is_reviewed = pc.equal(rows["reason"], Reason.REVIEWED)
    reaches = pc.fill_null(pc.greater_equal(rows["score"], rows["lower_bound"]), False)
    nothing = pa.scalar(None, pa.string())
    would = {
        "verdict": pc.if_else(reaches, Verdict.MERGE, Verdict.KEEP),
        "reason": pc.if_else(reaches, Reason.SAME_PERSON, nothing),
        "decided_by": pc.if_else(reaches, rows["decided_by"], nothing),
    }
    for name, values in would.items():
        column = rows.column_names.index(name)
        rows = rows.set_column(column, name, pc.if_else(is_reviewed, values, rows[name]))
    return rows


def doubt(score: Scores, lower: Scores, upper: Scores) -> Scores:
    """exp(-d / s) for each of N scores, d being how far it lies from the nearer of its bounds; nan bounds are none.

    s is the standard deviation that a normal distribution would have whose median absolute deviation is that of the
    scores: of all of them, since a few gross faults would stretch any other. Of fewer than five scores, and where half
    of them are equal, it is the median of d. So one at its bound has 1, and one that stands out from the others as far
    as its bound does has next to nothing. Where score or bounds are not finite there is no doubt, 0.
    """
    distance = np.fmin(np.abs(score - lower), np.abs(score - upper))
    held = np.isfinite(distance)
    found = np.zeros(len(score))
    if held.any():
        spread = _spread(score[held]) or float(np.median(distance[held]))
        found[held] = np.exp(-distance[held] / spread) if spread else distance[held] == 0
    return found


def _spread(score: Scores) -> float:
    if len(score) < MIN_TO_SPREAD:
        return 0.0
    return NORMAL_MADS * float(np.median(np.abs(score - np.median(score))))


def _doubt(rows: pa.Table, nearest_to_own_person: pa.Array) -> Scores:
    """(N,) of the verdicts of one step on one kind of subject together: their scores are of one scale."""
    score, lower, upper = (rows[name].to_numpy() for name in ("score", "lower_bound", "upper_bound"))
    is_pair = pc.equal(rows["subject"], Subject.PAIR)  # of which too little speech is told after the score
    follows = pc.and_not(pc.is_in(rows["reason"], value_set=pa.array(FOLLOWS, pa.string())), is_pair)
    is_kept = pc.and_(pc.equal(rows["subject"], Subject.UTTERANCE), pc.equal(rows["verdict"], Verdict.KEEP))
    is_own = pc.and_(is_kept, pc.is_in(rows["subject_id"], value_set=nearest_to_own_person))
    is_fact = pc.or_(pc.or_(follows, is_own), pc.equal(rows["step"], INGEST)).to_numpy()
    found = np.zeros(len(rows))
    for group in _groups(rows, ["subject", "step"]):
        these = group[~is_fact[group]]
        found[these] = doubt(score[these], lower[these], upper[these])
    return found


def _groups(rows: pa.Table, names: Sequence[str]) -> list[NDArray[np.int64]]:
    """The places of rows that are equal in these columns."""
    joined = pc.binary_join_element_wise(*(rows[name] for name in names), "\0").combine_chunks().dictionary_encode()
    code = joined.indices.to_numpy()
    return [np.flatnonzero(code == number) for number in range(len(joined.dictionary))]


def _nearest_to_own_person(catalog: Catalog) -> pa.Array:
    """The ids of utterances whose nearest other label was found to be the person of their own label."""
    scores = _read(catalog, UTTERANCE_SCORES, ["utterance_id", "speaker_id", "nearest_speaker_id"])
    identities = _read(catalog, IDENTITIES, ["speaker_id", "identity_id"])
    own, nearest = (
        _looked_up(scores[name], identities["speaker_id"], identities["identity_id"])
        for name in ("speaker_id", "nearest_speaker_id")
    )
    return scores["utterance_id"].filter(pc.equal(own, nearest)).combine_chunks()


def _near_misses(catalog: Catalog, ruled: pa.Table, corpus_of: pa.Table) -> pa.Table:
    """The pairs that were compared and that no rule decided on, with what there is of the columns of decisions."""
    pairs = _read(catalog, SPEAKER_PAIRS, SPEAKER_PAIRS.arrow().names)
    columns = {
        "subject": _all(Subject.PAIR, len(pairs)),
        "subject_id": pairs["speaker_id"],
        "other_id": pairs["other_id"],
        "verdict": _all(Verdict.KEEP, len(pairs)),
        "score": pairs["similarity"],
        "lower_bound": _thresholds(catalog, pairs, corpus_of),
        "step": _all(COMPARING, len(pairs)),
    }
    rows = pa.table(columns)
    rows = rows.append_column("about", about(rows))
    return rows.filter(pc.invert(pc.is_in(rows["about"], value_set=ruled["about"].combine_chunks())))


def _thresholds(catalog: Catalog, pairs: pa.Table, corpus_of: pa.Table) -> pa.Array:
    """Of each pair what it would have had to reach: the stricter of its corpora's, or the one that a run was given."""
    calibrated = _read(catalog, CALIBRATIONS, ["corpus", "threshold"])
    first, second = (
        _looked_up(_corpus(pairs[name], corpus_of), calibrated["corpus"], calibrated["threshold"])
        for name in ("speaker_id", "other_id")
    )
    return pc.coalesce(pc.max_element_wise(first, second), _given(catalog))


def _given(catalog: Catalog) -> pa.Scalar:
    """The threshold that the last comparison was given, or fell back on; null where nobody has compared."""
    runs = _read(catalog, RUNS, ["step", "finished_at", "settings"])
    last = runs.filter(pc.equal(runs["step"], COMPARING)).sort_by("finished_at")["settings"].to_pylist()[-1:]
    settings = json.loads(last[0]) if last else {}
    asked = settings.get("min_similarity")
    if asked == "vietsv":
        from curate.speakers import VIETSV_MIN_SIMILARITY  # with scipy, which takes half a second to import

        asked = VIETSV_MIN_SIMILARITY
    return pa.scalar(settings.get("min_same_person") if isinstance(asked, str) else asked, pa.float64())


def _read(catalog: Catalog, table: Table, columns: list[str]) -> pa.Table:
    """These columns of all parts; without a row where there is none."""
    return catalog.read(table, columns=columns) if catalog.parts(table) else rows_of(table, []).select(columns)


def _corpus(speakers: pa.ChunkedArray, corpus_of: pa.Table) -> pa.ChunkedArray:
    return _looked_up(speakers, corpus_of["speaker_id"], corpus_of["corpus"])


def _looked_up(asked: pa.ChunkedArray, keys: pa.ChunkedArray, values: pa.ChunkedArray) -> pa.ChunkedArray:
    """The value of each key that is asked for; null for an unknown one."""
    return values.take(pc.index_in(asked, value_set=keys.combine_chunks()))


def _all(text: str, num: int) -> pa.Array:
    return pa.repeat(pa.scalar(text, pa.string()), num)
