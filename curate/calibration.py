"""A threshold for `unify` that the corpora tell: how alike different people are, and how alike one person is.

Two labels of a corpus are different people, but for a few. The mean cosines of its pairs of labels show how often a
threshold would merge two people: the false-merge rate, here always per compared pair of different people. Pairs that
state different sexes or languages are left out, since a guard forbids them; so are those clearly of one person.

Rates beyond what the pairs at hand reach are told by a normal tail, laid through the top pairs on a quantile-quantile
plot. On drawn corpora of known truth, of six to a thousand labels, it kept the wanted rate. A generalised Pareto tail
was two to three times too lenient, a normal distribution of all pairs twice where people come in kinds, and an
exponential tail so strict that a third of the split readers of LibriSpeech stayed apart (docs/log.md).

Pairs that share a label are dependent, so that uncertainty comes from drawing people, not pairs, with replacement. The
threshold is the upper end of that interval: the fewer people, the higher. But it need not be above what one person
reaches, and that is told by a fault planted on purpose: every label is cut into halves, between sessions where it has
two or more. Halves of one session are more alike than one person is elsewhere; such a corpus cannot tell by how much.
Where one person reaches less than the tail has at the wanted rate, the threshold stays where the rate is kept.

Shapes: N utterances, S labels, P pairs of labels, D dimensions of the embedding.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.stats import norm
from scipy.stats import t as student_t

from curate.codes import is_ascending, numbered
from curate.errors import PipelineError
from curate.similarity import ROUNDING, Indices, Scores, Vectors, mean_vectors, unit

MIN_SPEAKERS = 5  # of fewer people there are fewer than ten pairs
MIN_PAIRS = 10
MAX_SPEAKERS = 1_000  # half a million pairs say enough; of a larger corpus as many labels are drawn
MAX_RATE = 0.05  # the tail must begin well below the threshold
NUM_DRAWS = 400  # of people
NUM_HALVINGS = 20  # of every label
MIN_HALF = 2  # utterances of either half
CONFIDENCE = (0.025, 0.975)
GENUINE_LOW = 0.02  # of one person's halves so many are below `genuine_low`
MAX_MADS = 3.5
MAX_BY_CHANCE = 0.1  # pairs expected among different people that are as alike as one set aside

Flags = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """The threshold of one corpus and how far it can be trusted. Intervals are of 95 %, by drawing people."""

    corpus: str
    threshold: float  # on the mean cosine of two labels
    estimate: float  # what the tail itself has at the wanted rate
    wanted_rate: float  # false merges per compared pair of different people
    rate: float  # as estimated at the threshold
    rate_interval: tuple[float, float]
    threshold_interval: tuple[float, float]  # of the threshold at the wanted rate
    num_speakers: int  # people: labels that are clearly one person are counted once
    num_pairs: int  # of labels, that no guard forbids
    num_set_aside: int  # further pairs, clearly one person under two labels
    genuine_low: float  # what one person reaches; nan where fewer than five labels can be halved
    genuine_median: float
    is_told_apart: bool  # nearly all that one person reaches is above `estimate`, as far as is known
    centre: float  # mean and variance of the pairs' cosines
    variance: float
    variance_of_one: float  # what the choice of utterances adds for a label of one utterance; 1/n of it for n
    typical_inverse: float  # mean of 1/n + 1/m over the pairs


def shared_threshold(one: Calibration, other: Calibration) -> float:
    """The threshold between labels of two corpora.

    Their different people are taken to be as alike as those of the stricter corpus. One person need not be more alike
    across them than within either: the cap is the lower of both.
    """
    high = max(one.threshold_interval[1], other.threshold_interval[1])
    genuine_low = float(np.fmin(one.genuine_low, other.genuine_low))
    return _safe(max(one.estimate, other.estimate), high, genuine_low)


def thresholds_between(one: Calibration, other: Calibration, num_first: Indices, num_second: Indices) -> Scores:
    """`shared_threshold` for pairs of labels of so many utterances; within a corpus, give it twice.

    The means of few utterances are noisier than those that were calibrated from. For them the threshold is as much
    further from the centre as the standard deviation of the cosines is greater.
    """
    threshold, inverse = shared_threshold(one, other), 1 / num_first + 1 / num_second
    wider = [c.centre + (threshold - c.centre) * _widening(c, inverse) for c in (one, other)]
    thresholds: Scores = np.maximum(*wider)
    return thresholds


def _safe(estimate: float, high: float, genuine_low: float) -> float:
    """The upper end, but no more than one person reaches, where that is not below the estimate itself."""
    return max(estimate, float(np.fmin(high, genuine_low)))


def _widening(calibration: Calibration, inverse: Scores) -> Scores:
    more = calibration.variance_of_one * (inverse - calibration.typical_inverse)
    widened: Scores = np.sqrt(1 + np.maximum(more, 0) / calibration.variance)
    return widened


def calibrate_corpora(
    speakers: pa.Table,
    utterances: pa.Table,
    vectors: Vectors,
    *,
    wanted_rate: float,
    guards: tuple[str, ...],
    min_utterances: int,
    seed: int,
) -> dict[str, Calibration]:
    """By corpus of `speakers` (speaker_id, corpus, and what `guards` name), from what `unify` is given.

    `utterances` needs utterance_id, speaker_id and session_id. Labels of fewer than `min_utterances` are not heard. A
    corpus with too few labels takes the strictest calibration among the others, whose `corpus` then names that other.
    The guard of ages is not heeded: it forbids few pairs. The order of rows does not matter.

    Raises PipelineError where no corpus has enough, ValueError for vectors without direction.
    """
    order = np.arange(len(utterances))
    if not is_ascending(utterances["utterance_id"]):
        order = pc.sort_indices(utterances["utterance_id"]).to_numpy()
        utterances = utterances.take(pa.array(order))
    speakers = speakers.sort_by("speaker_id")
    speaker = pc.index_in(utterances["speaker_id"], value_set=speakers["speaker_id"].combine_chunks()).to_numpy()
    session = numbered(utterances["session_id"])[1]
    stated = [numbered(speakers[guard])[1] for guard in guards if guard != "age"]
    corpora, of_corpus = numbered(speakers["corpus"])
    heard = np.bincount(speaker, minlength=len(speakers)) >= min_utterances
    found, missing = {}, {}
    for index, corpus in enumerate(corpora.tolist()):
        chosen = np.flatnonzero((of_corpus == index) & heard)
        rows = np.flatnonzero(np.isin(speaker, chosen))
        try:
            found[corpus] = calibrate(
                unit(vectors[order[rows]], overwrite=True),  # of the copy: all at once are many
                np.searchsorted(chosen, speaker[rows]),
                len(chosen),
                session=session[rows],
                stated=[values[chosen] for values in stated],
                wanted_rate=wanted_rate,
                rng=np.random.default_rng([seed, *corpus.encode()]),  # whatever other corpora there are
                corpus=corpus,
            )
        except PipelineError as error:
            missing[corpus] = error
    if missing and not found:
        raise next(iter(missing.values()))
    strictest = max(found.values(), key=lambda calibration: calibration.threshold, default=None)
    return found | (dict.fromkeys(missing, strictest) if strictest else {})


def calibrate(
    unit_ND: Vectors,
    speaker: Indices,
    num_speakers: int,
    *,
    session: Indices,
    wanted_rate: float,
    rng: np.random.Generator,
    stated: Sequence[Indices] = (),
    corpus: str = "the corpus",
) -> Calibration:
    """From the labels of one corpus, `speaker` (N,), each with one utterance or more.

    `session` (N,) is -1 where none is known; `stated` are G arrays (S,) of what guards compare, -1 where nobody says.
    Raises PipelineError where there are too few people, ValueError for a rate that no tail can be laid for.
    """
    if not 0 < wanted_rate <= MAX_RATE:
        raise ValueError(f"wanted_rate is {wanted_rate}; expected above 0 and at most {MAX_RATE}")
    if num_speakers > MAX_SPEAKERS:
        chosen = np.sort(rng.choice(num_speakers, MAX_SPEAKERS, replace=False))
        rows = np.flatnonzero(np.isin(speaker, chosen))
        unit_ND, session, stated = unit_ND[rows], session[rows], [values[chosen] for values in stated]
        speaker, num_speakers = np.searchsorted(chosen, speaker[rows]), MAX_SPEAKERS
    count = np.bincount(speaker, minlength=num_speakers)
    mean_SD = mean_vectors(unit_ND, speaker, num_speakers)
    first, second = np.triu_indices(num_speakers, 1)
    comparable = _comparable(first, second, stated)
    first, second = first[comparable], second[comparable]
    cosines = (mean_SD @ mean_SD.T)[first, second].astype(np.float64)
    genuine_low, genuine_median = genuine_range(halves(unit_ND, speaker, num_speakers, session=session, rng=rng))
    alike = one_person_twice(cosines, genuine_low)
    person = _people(first[alike], second[alike], num_speakers)
    first, second, cosines = first[~alike], second[~alike], cosines[~alike]
    num_people = len(np.unique(person))
    if num_people < MIN_SPEAKERS or len(cosines) < MIN_PAIRS:
        raise PipelineError(
            f"{corpus} has {num_people} people and {len(cosines)} pairs to compare; "
            f"expected {MIN_SPEAKERS} and {MIN_PAIRS} to calibrate a threshold from: give min_similarity"
        )
    pairs = _greatest(cosines, person[first], person[second], num_people, wanted_rate)
    draws = rng.multinomial(num_people, np.full(num_people, 1 / num_people), size=NUM_DRAWS).astype(np.float64)
    draws = draws[[pairs.drawn(times)[1].any() for times in draws]]  # of few people, one may be drawn every time
    tail, tails = pairs.tail(np.ones(num_people)), [pairs.tail(times) for times in draws]
    estimate = tail.threshold(wanted_rate)
    low, high = np.quantile([drawn.threshold(wanted_rate) for drawn in tails], CONFIDENCE).tolist()
    threshold = _safe(estimate, high, genuine_low)
    rates = [drawn.rate(threshold) for drawn in tails]
    least = np.minimum(rates, [pairs.counted(times, threshold) for times in draws])  # the tail errs to the safe side
    return Calibration(
        corpus=corpus,
        threshold=threshold,
        estimate=estimate,
        wanted_rate=wanted_rate,
        rate=tail.rate(threshold),
        rate_interval=(float(np.quantile(least, CONFIDENCE[0])), float(np.quantile(rates, CONFIDENCE[1]))),
        threshold_interval=(min(low, estimate), max(high, estimate)),
        num_speakers=num_people,
        num_pairs=len(cosines),
        num_set_aside=int(alike.sum()),
        genuine_low=genuine_low,
        genuine_median=genuine_median,
        is_told_apart=not genuine_low < estimate,
        centre=float(cosines.mean()),
        variance=float(max(cosines.var(), ROUNDING**2)),
        variance_of_one=_variance_of_one(unit_ND, mean_SD, speaker, count),
        typical_inverse=float((1 / count[first] + 1 / count[second]).mean()),
    )


@dataclass(frozen=True)
class Tail:
    """A normal distribution that the greatest cosines follow; lower ones need not."""

    centre: float
    scale: float

    def threshold(self, rate: float) -> float:
        """What a share `rate` of all cosines reaches."""
        return self.centre + self.scale * float(norm.isf(rate))

    def rate(self, threshold: float) -> float:
        """The share of all cosines at or above `threshold`."""
        return float(norm.sf((threshold - self.centre) / self.scale))


def tail_share(num_pairs: int, wanted_rate: float) -> float:
    """The share of pairs that the tail is laid through: sixty, or ten times the wanted rate; at most the upper half."""
    return min(0.5, max(10 * wanted_rate, 60 / num_pairs))


def fit_tail(cosines: Scores, weight: Scores, total: float, *, share: float, centre: float) -> Tail:
    """Through `centre` and the top `share` of `cosines`, by least squares on a normal quantile-quantile plot.

    `cosines` are in falling order, with weights that sum to `total` over these and all lower ones.
    """
    above = np.cumsum(weight) - weight / 2
    chosen = above <= share * total
    normal, excess = norm.isf(above[chosen] / total), cosines[chosen] - centre
    moment = weight[chosen] * normal
    return Tail(centre, max(float(moment @ excess) / max(float(moment @ normal), ROUNDING), ROUNDING))


@dataclass(frozen=True)
class _Pairs:
    """The greatest cosines of the compared pairs, in falling order, with the people of each."""

    cosines: Scores
    one: Indices
    other: Indices
    total: NDArray[np.float64]  # (people, people) numbers of all pairs, also of lower ones
    share: float
    centre: float

    def drawn(self, times: Scores) -> tuple[Scores, Scores, float]:
        """Cosines, their weights and the weight of all pairs, where people were drawn so many `times`."""
        weight = times[self.one] * times[self.other]
        some = weight > 0
        return self.cosines[some], weight[some], float(times @ (self.total @ times))

    def tail(self, times: Scores) -> Tail:
        cosines, weight, total = self.drawn(times)
        return fit_tail(cosines, weight, total, share=self.share, centre=self.centre)

    def counted(self, times: Scores, threshold: float) -> float:
        cosines, weight, total = self.drawn(times)
        return float(weight[cosines >= threshold].sum() / total)


def _greatest(cosines: Scores, one: Indices, other: Indices, num_people: int, wanted_rate: float) -> _Pairs:
    share = tail_share(len(cosines), wanted_rate)
    top = np.argsort(-cosines, kind="stable")[: int(3 * share * len(cosines))]  # a draw may reach further down
    total = np.bincount(one * num_people + other, minlength=num_people**2).reshape(num_people, num_people)
    return _Pairs(cosines[top], one[top], other[top], total.astype(np.float64), share, float(np.median(cosines)))


def halves(
    unit_ND: Vectors,
    speaker: Indices,
    num_speakers: int,
    *,
    session: Indices,
    rng: np.random.Generator,
) -> Scores:
    """Mean cosines of one half of each label with its other, in several ways: (`NUM_HALVINGS`, S).

    A label with two sessions or more is cut between sessions, leaving out what has none, any other between utterances;
    nan where a half has fewer than `MIN_HALF` utterances.
    """
    sessions = np.unique(np.stack([speaker, session], axis=1)[session >= 0], axis=0)
    by_session = np.bincount(sessions[:, 0], minlength=num_speakers)[speaker] >= 2
    rows = np.flatnonzero(~by_session | (session >= 0))
    piece = np.where(by_session, session, np.arange(len(speaker)))[rows]  # what is not cut, within its label
    whose, at = np.unique(np.stack([speaker[rows], piece], axis=1), axis=0, return_inverse=True)
    num_pieces = np.bincount(whose[:, 0], minlength=num_speakers)
    start = np.cumsum(num_pieces) - num_pieces
    found = np.full((NUM_HALVINGS, num_speakers), np.nan)
    for of_way in found:
        order = np.lexsort((rng.random(len(whose)), whose[:, 0]))
        rank = np.empty(len(whose), np.int64)
        rank[order] = np.arange(len(whose))
        is_second = rank - start[whose[:, 0]] >= num_pieces[whose[:, 0]] // 2
        half = 2 * speaker[rows] + is_second[at.ravel()]
        enough = (np.bincount(half, minlength=2 * num_speakers).reshape(-1, 2) >= MIN_HALF).all(axis=1)
        means = mean_vectors(unit_ND[rows], half, 2 * num_speakers)
        of_way[enough] = np.einsum("sd,sd->s", means[::2], means[1::2], dtype=np.float64)[enough]
    return found


def genuine_range(halved: Scores) -> tuple[float, float]:
    """What one person reaches, from `halves`: all but `GENUINE_LOW`, and half; nan where nobody could be halved.

    The spread is that among labels, whatever way they are halved, and half the variance among ways, since halves have
    half of the utterances. Labels beyond `MAX_MADS` from the median are left out: one that holds two people, or bad
    files. `GENUINE_LOW` is a prediction for one more label (Student's t), lower where few labels tell.
    """
    ways = np.isfinite(halved).sum(axis=0)
    halved = halved[:, ways > 1]
    if halved.shape[1] < MIN_SPEAKERS:
        return float("nan"), float("nan")
    label = np.nanmean(halved, axis=0)
    label = label[np.abs(label - np.median(label)) <= MAX_MADS * _mad(label) + ROUNDING]
    among_ways = float(np.median(np.nanvar(halved, axis=0, ddof=1)))
    spread = np.sqrt((label.var(ddof=1) + among_ways / 2) * (1 + 1 / len(label)))
    return float(label.mean() + student_t.ppf(GENUINE_LOW, len(label) - 1) * spread), float(np.median(label))


def one_person_twice(cosines: Scores, genuine_low: float) -> Flags:
    """Which pairs (P,) are one person under two labels: as alike as halves of one, and unlike any two people here.

    How alike two people are is told by median and MAD, which a few such pairs do not move.
    """
    if not len(cosines) or not np.isfinite(genuine_low):
        return np.zeros(len(cosines), np.bool_)
    centre = np.median(cosines)
    spread = max(_mad(cosines), ROUNDING)
    by_chance = len(cosines) * norm.sf((cosines - centre) / spread)
    alike: Flags = (cosines >= genuine_low) & (by_chance < MAX_BY_CHANCE)
    return alike


def _comparable(first: Indices, second: Indices, stated: Sequence[Indices]) -> Flags:
    may = np.ones(len(first), np.bool_)
    for values in stated:
        one, other = values[first], values[second]
        may &= (one < 0) | (other < 0) | (one == other)
    return may


def _people(first: Indices, second: Indices, num_speakers: int) -> Indices:
    """The person (S,) of each label, where these pairs are one person each."""
    links = coo_array((np.ones(len(first)), (first, second)), shape=(num_speakers, num_speakers))
    person: Indices = connected_components(links, directed=False)[1].astype(np.int64)
    return person


def _mad(values: Scores) -> float:
    """Median absolute deviation, scaled to the standard deviation of a normal distribution."""
    return float(np.median(np.abs(values - np.median(values))) / norm.ppf(0.75))


def _variance_of_one(unit_ND: Vectors, mean_SD: Vectors, speaker: Indices, count: Indices) -> float:
    """Variance of the cosine of one label's single utterances to another label's mean, averaged over labels."""
    apart = (unit_ND - mean_SD[speaker]).astype(np.float64)
    freedom = max(len(speaker) - int((count > 0).sum()), 1)
    within_DD = apart.T @ apart / freedom
    return float(np.einsum("sd,de,se->s", mean_SD, within_DD, mean_SD, optimize=True).mean())
