"""Labels under which several people speak, and which utterances are whose.

Any label can be cut in two. How unlike the halves of one person are is told by the corpus alone: by its labels, most of
which are one person. What two people would give is told by joining two labels at a time and cutting these. A label is
mixed where the second is the likelier; its halves are then cut in turn.

A label is judged in a space to which it did not contribute: else what parts it would be what persons vary in. Where the
odd half is far from every other label and yet nearest to its own, it rather is the same person in another voice: over
the telephone, years later.

Shapes: N utterances, S labels, P people of mixed labels, G parts of all labels, D dimensions of the embedding.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from curate.halves import MIN_HALF, Flags, Rows, cut
from curate.similarity import Indices, Picked, Scores, Vectors
from curate.whitened import TINY, VALUES_PER_BATCH, Spaces, add_rows, chunks, spaces

Hashes = NDArray[np.uint64]

ROWS_AT_ONCE = 4096  # that are hashed
MAX_FOLDS = 16  # spaces at most: a label is left out of its own, with a sixteenth of the others
MAX_JOINED = 1000  # pairs of labels that tell what two people give; more change no second decimal
SHARES = (0.5, 0.8)  # of the first person in what is joined
# Labels of one person who sounds in two ways, a priori: other microphones, other years. None of the 29 people of the
# pieces of LibriSpeech, EmoDB and FSDD does, which gives 1/60 by Jeffreys' rule.
TWO_VOICED = 0.02
OTHERS_NEARER = 0.1  # and whose odd voice is nonetheless more like somebody else's
MIN_SPREAD = 1e-3  # of scores: less is rounding
MIN_GAIN = 2.0  # nats by which a fit must be likelier than a wider one: of few scores, some lie close by chance
REMOTE = 0.1  # the share of labels that are as far from all others as an odd voice is


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The people of mixed labels, in the order of labels and parts; P is 0 where no label is mixed."""

    speaker: Indices  # (P,) the label
    part: Indices  # (P,) as in `People.part`
    size: Indices  # (P,) utterances
    nearest: Indices  # (P,) the other label that it is most like; -1 where there is none
    similarity: Scores  # (P,) to that label, as `People.score`; nan where there is none
    is_of_nearest: Flags  # (P,) they are as alike as the halves of one person are in this corpus


@dataclass(frozen=True, kw_only=True)
class People:
    """Who speaks under each label."""

    part: Indices  # (N,) 0 for who speaks most; of two who speak as much, whom no other label claims
    num_people: Indices  # (S,) 0 for a label without utterances
    score: Scores  # (S,) similarity of its halves; nan where it is not judged, or one utterance alone stands apart
    threshold: Scores  # (S,) below it, the label is mixed; nan where it is not judged
    parts: Parts


def people(
    unit_ND: Vectors | Picked,
    speaker: Indices,
    session: Indices,
    num_speakers: int,
    *,
    min_utterances: int = 6,
    min_labels: int = 4,
    num_passes: int = 2,
) -> People:
    """Of unit vectors, with `speaker` (N,) saying whose each is and `session` (N,) from which sitting (-1: unknown).

    Labels of fewer than `min_utterances` are not judged: halves of two or three tell little. None is where fewer than
    `min_labels` could be: nothing tells how alike the halves of one person are. What one pass has told apart is kept
    apart in the spaces of the next. Scattered wrong labels should be left out before: two utterances of one voice are
    a person here. Time grows as N D^2; memory as S D, a batch of vectors, and the largest label.
    """
    labels = _Labels(unit_ND, speaker, num_speakers)
    judged = np.flatnonzero(labels.count >= min_utterances)
    part = np.zeros(len(speaker), np.int64)
    score, threshold = np.full((2, num_speakers), np.nan)
    parts = _no_parts()
    if len(judged) < min_labels:
        return People(part=part, num_people=np.minimum(labels.count, 1), score=score, threshold=threshold, parts=parts)
    folds = _folds(labels, judged)
    for _ in range(num_passes):
        before = part
        space = spaces(unit_ND, _groups(speaker, part), folds[speaker])
        part, score, decision = _told_apart(unit_ND, session, labels, judged, folds, space, min_utterances, min_labels)
        if (part == before).all():
            break
    group = _groups(speaker, part)
    likeness = _Likeness(unit_ND, speaker, part, spaces(unit_ND, group, folds[speaker]))
    return _told(labels, judged, part, score, decision, likeness)


def _told_apart(
    unit_ND: Vectors | Picked,
    session: Indices,
    labels: "_Labels",
    judged: Indices,
    folds: Indices,
    space: Spaces,
    min_utterances: int,
    min_labels: int,
) -> tuple[Indices, Scores, "_Decision"]:
    """The parts (N,) of every label, the score (S,) of its first cut, and where two people begin."""
    first = cut(unit_ND, session, space, [labels.rows[one] for one in judged], folds[judged])
    sets, fold = _joined(labels, judged, folds)
    decision = _Decision(first.score, cut(unit_ND, session, space, sets, fold).score, min_labels)
    part = np.zeros(len(labels.speaker), np.int64)
    score = np.full(len(labels.count), np.nan)
    score[judged] = first.score
    found = np.flatnonzero(first.score < decision.threshold(two_voiced=0.0))
    sets = [labels.rows[judged[one]] for one in found]
    upper = [first.upper[one] for one in found]
    fold = folds[judged[found]]
    while sets:  # cut what was cut, until no half falls apart
        halves = [half for rows, side in zip(sets, upper, strict=True) for half in (rows[side], rows[~side])]
        _number(part, labels, halves)
        enough = np.array([len(half) >= min_utterances for half in halves])
        fold = np.repeat(fold, 2)[enough]
        halves = [half for half, is_enough in zip(halves, enough, strict=True) if is_enough]
        again = cut(unit_ND, session, space, halves, fold)
        found = np.flatnonzero(again.score < decision.threshold())
        sets, upper, fold = [halves[one] for one in found], [again.upper[one] for one in found], fold[found]
    return part, score, decision


def _number(part: Indices, labels: "_Labels", halves: Rows) -> None:
    """Every second half becomes a further part of its label."""
    for half in halves[1::2]:
        part[half] = part[labels.rows[labels.speaker[half[0]]]].max() + 1


def _joined(labels: "_Labels", judged: Indices, folds: Indices) -> tuple[Rows, Indices]:
    """Rows of two labels each, as many as the first has, and the fold of the first."""
    order = judged[np.argsort(labels.hash[judged], kind="stable")]
    sorted_rows: dict[int, Indices] = {}
    sets, fold = [], []
    for number in range(min(MAX_JOINED, len(order) * (len(order) - 1))):
        turn, place = divmod(number, len(order))
        pair = int(order[place]), int(order[(place + turn + 1) % len(order)])
        for one in pair:
            if one not in sorted_rows:
                sorted_rows[one] = labels.rows[one][np.argsort(labels.hash_of_row[labels.rows[one]], kind="stable")]
        size = len(sorted_rows[pair[0]])
        of_second = max(MIN_HALF, round(size * (1 - SHARES[number % len(SHARES)])))
        sets.append(np.concatenate([sorted_rows[pair[0]][: size - of_second], sorted_rows[pair[1]][:of_second]]))
        fold.append(folds[pair[0]])
    return sets, np.array(fold)


class _Decision:
    """Where the halves of a label are more likely two people than one.

    What labels score is a mixture: of one person, a normal; of one who sounds in two ways, anything between its mean
    and strangers; and of two people, as joined labels score. Once it is fitted, Student's t stands for the normal: few
    labels tell of its width.
    """

    def __init__(self, score: Scores, joined: Scores, min_labels: int) -> None:
        score, self.joined = score[~np.isnan(score)], joined[~np.isnan(joined)]
        self.mean = self.spread = self.degrees = np.nan
        if len(score) < min_labels or not len(self.joined):
            return
        self.bandwidth = 1.06 * max(float(self.joined.std()), MIN_SPREAD) * len(self.joined) ** -0.2  # Silverman
        seen = self._seen(score)
        fits = [self._fit(score, seen, mean, spread) for mean, spread in _starts(score)]
        likeliest, widest = max(fits), max(fits, key=lambda fit: fit[2])
        chosen = likeliest if likeliest[0] > widest[0] + MIN_GAIN else widest
        _, self.mean, self.spread, self.share, num_usual = chosen
        self.degrees = max(num_usual - 1, 1.0)

    def _fit(self, score: Scores, seen: Scores, mean: float, spread: float) -> tuple[float, float, float, float, float]:
        """From this start: log-likelihood, mean, spread, share of two people, and how many labels are usual."""
        share = 0.5 / len(score)
        for _ in range(100):
            usual = (1 - TWO_VOICED) * np.maximum(stats.norm.pdf(score, mean, spread), TINY)
            one = (1 - share) * (usual + TWO_VOICED * OTHERS_NEARER * _of_other_voice(score, mean))
            two = share * np.where(score < mean, self._of_two(score, seen, mean), 0.0)
            is_usual = (1 - share) * usual / (one + two)
            mean = float((is_usual * score).sum() / is_usual.sum())
            squares = float((is_usual * (score - mean) ** 2).sum())
            spread = max(np.sqrt(squares / max(is_usual.sum() - 1, 1)), MIN_SPREAD)
            share = float(((two / (one + two)).sum() + 0.5) / (len(score) + 1))
        return float(np.log(one + two).sum()), mean, spread, share, float(is_usual.sum())

    def of_one(self, score: Scores, two_voiced: float = TWO_VOICED * OTHERS_NEARER) -> Scores:
        """Density of one person."""
        usual: Scores = stats.t.pdf(score, self.degrees, self.mean, self.spread)
        if self.mean <= 0:
            return usual
        return (1 - TWO_VOICED) * usual + two_voiced * _of_other_voice(score, self.mean)

    def _seen(self, score: Scores) -> Scores:
        """Density of the joined labels, each a small bell; each score is held against all of them."""
        return np.concatenate(
            [
                stats.norm.pdf(some[:, None], self.joined, self.bandwidth).mean(axis=1)
                for some in np.array_split(score, len(score) // 1000 + 1)
            ]
        )

    def _of_two(self, score: Scores, seen: Scores, mean: float) -> Scores:
        """Density of two people: what joined labels score; and as one pair more, anything up to the mean.

        For all that is seen the next pair is more alike than the others once in as many times (rule of succession).
        """
        num_pairs = len(self.joined) / 2  # most are joined both ways
        found: Scores = (num_pairs * seen + _of_other_voice(score, mean)) / (num_pairs + 1)
        return found

    def threshold(self, *, two_voiced: float = TWO_VOICED * OTHERS_NEARER, chance: float = 1.0) -> float:
        """Two people are likelier below it; nan where nothing tells. `chance`: of what else was seen, were they two."""
        if np.isnan(self.mean):
            return np.nan
        grid = np.linspace(min(-1.0, self.joined.min()), self.mean, 2001)
        two = self.share * self._of_two(grid, self._seen(grid), self.mean) * chance
        one = (1 - self.share) * self.of_one(grid, two_voiced)
        return float(grid[two > one].max(initial=-np.inf))


def _starts(score: Scores) -> list[tuple[float, float]]:
    """Mean and spread to set out from: of all, of all by medians, and of the shortest half (Rousseeuw 1984).

    They end apart: from a wide start, what lies apart may widen the bell until that takes it in.
    """
    ordered, half = np.sort(score), len(score) // 2
    width = ordered[half:] - ordered[: len(score) - half]
    first = int(width.argmin())
    of_all = float(score.mean()), float(score.std(ddof=1))
    by_medians = float(np.median(score)), float(stats.median_abs_deviation(score, scale="normal"))
    of_half = float(ordered[first : first + half + 1].mean()), float(width[first] / 2 / stats.norm.ppf(0.75))
    return [(mean, max(spread, MIN_SPREAD)) for mean, spread in (of_all, by_medians, of_half)]


def _of_other_voice(score: Scores, mean: float) -> Scores:
    """Density of anything between strangers and that mean."""
    return np.where((score > 0) & (score < mean), 1 / max(mean, MIN_SPREAD), 0.0)


def _told(
    labels: "_Labels", judged: Indices, part: Indices, score: Scores, decision: "_Decision", likeness: "_Likeness"
) -> People:
    """Take back what its own label alone claims, and number the people of the others."""
    of_label = np.bincount(likeness.speaker, minlength=len(labels.count))
    group = np.flatnonzero(of_label[likeness.speaker] > 1)
    nearest, similarity = likeness.nearest(group)
    num_others = max(len(labels.count) - 1, 1)
    mean, spread = likeness.strangers()
    by_chance = stats.norm.pdf(similarity, mean, spread) * num_others
    claimed = (similarity >= decision.mean) | (decision.of_one(similarity) > by_chance)
    threshold = np.full(len(labels.count), np.nan)
    threshold[judged] = decision.threshold()
    if_given_away = decision.threshold(two_voiced=0.0)
    if_own_is_nearest = decision.threshold(two_voiced=TWO_VOICED, chance=1 - (1 - REMOTE) ** 2)  # one or both remote
    remote = likeness.remote()
    first = np.flatnonzero(of_label[likeness.speaker[group]] == 2)[::2]
    for one, other in zip(first, first + 1, strict=True):
        label = likeness.speaker[group[one]]
        alike = float(likeness.mean_GD[group[one]] @ likeness.mean_GD[group[other]])
        if claimed[one] != claimed[other] or (claimed[one] and nearest[one] != nearest[other]):
            threshold[label] = if_given_away
        elif not claimed[one] and min(similarity[one], similarity[other]) < min(alike, remote):
            threshold[label] = if_own_is_nearest
    whole = ~(score < threshold)
    kept = np.flatnonzero(~whole[likeness.speaker[group]])
    speaker, size = likeness.speaker[group], likeness.size[group]
    kept = kept[np.lexsort((np.nan_to_num(similarity[kept]), claimed[kept], -size[kept], speaker[kept]))]
    speaker, size = speaker[kept], size[kept]
    number = np.arange(len(kept)) - np.searchsorted(speaker, speaker)
    renumbered = np.zeros((len(labels.count), int(part.max()) + 1), np.int64)
    renumbered[speaker, likeness.part[group[kept]]] = number
    parts = Parts(
        speaker=speaker,
        part=number,
        size=size,
        nearest=nearest[kept],
        similarity=similarity[kept],
        is_of_nearest=claimed[kept],
    )
    num_people = np.where(whole, np.minimum(labels.count, 1), of_label)
    return People(
        part=renumbered[labels.speaker, part], num_people=num_people, score=score, threshold=threshold, parts=parts
    )


def _no_parts() -> Parts:
    none = np.zeros(0, np.int64)
    return Parts(
        speaker=none, part=none, size=none, nearest=none, similarity=np.zeros(0), is_of_nearest=np.zeros(0, bool)
    )


class _Labels:
    """The rows of each label, and a number for each row and label that follows from its vectors alone.

    What is drawn below is drawn by these numbers: it does not depend on the order of rows or on the index of a label.
    """

    def __init__(self, unit_ND: Vectors | Picked, speaker: Indices, num_speakers: int) -> None:
        self.speaker = speaker
        self.count = np.bincount(speaker, minlength=num_speakers)
        self.rows: Rows = np.split(np.argsort(speaker, kind="stable"), np.cumsum(self.count)[:-1])
        place = _mixed(np.arange(1, unit_ND.shape[1] + 1, dtype=np.uint64))
        self.hash_of_row = np.empty(len(unit_ND), np.uint64)
        for start in range(0, len(unit_ND), ROWS_AT_ONCE):
            rows = slice(start, start + ROWS_AT_ONCE)
            bits = np.ascontiguousarray(unit_ND[rows], np.float32).view(np.uint32).astype(np.uint64)
            self.hash_of_row[rows] = _mixed((bits * place).sum(axis=1))
        total = np.zeros(num_speakers, np.uint64)
        np.add.at(total, speaker, self.hash_of_row)
        self.hash = _mixed(total)


def _mixed(number: Hashes) -> Hashes:
    """The finalizer of SplitMix64 (Steele, Lea and Flood 2014): numbers that are near become far."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        number = (number ^ (number >> np.uint64(shift))) * np.uint64(factor)
    return number ^ (number >> np.uint64(31))


def _folds(labels: _Labels, judged: Indices) -> Indices:
    """(S,) in which space a label is judged, -1 for one that is not."""
    folds = np.full(len(labels.count), -1)
    folds[judged[np.argsort(labels.hash[judged], kind="stable")]] = np.arange(len(judged)) % MAX_FOLDS
    return folds


def _groups(speaker: Indices, part: Indices) -> Indices:
    """(N,) the number of each label's part, in the order of labels and parts."""
    return np.unique(_keys(speaker, part), return_inverse=True)[1]


def _keys(speaker: Indices, part: Indices) -> Indices:
    """(N,) a number for each label's part, in their order: numbers are sorted much sooner than pairs of them."""
    keys: Indices = speaker * (int(part.max(initial=0)) + 1) + part
    return keys


class _Likeness:
    """How alike the parts of labels are, in the space of all of them."""

    def __init__(self, unit_ND: Vectors | Picked, speaker: Indices, part: Indices, space: Spaces) -> None:
        _, first, group = np.unique(_keys(speaker, part), return_index=True, return_inverse=True)
        self.speaker, self.part = speaker[first], part[first]
        self.size = np.bincount(group)
        self.mean_GD = np.zeros((len(self.size), unit_ND.shape[1]))
        for rows in chunks(np.argsort(group, kind="stable"), unit_ND.shape[1]):
            add_rows(self.mean_GD, group[rows], space.of(unit_ND[rows], -1))
        within = (np.einsum("gd,gd->g", self.mean_GD, self.mean_GD) - self.size) / np.maximum(
            self.size * (self.size - 1), 1
        )
        self.mean_GD /= self.size[:, None]
        known = (self.size > 1) & (within > TINY)
        within[~known] = np.median(within[known]) if known.any() else 1.0
        self.mean_GD /= np.sqrt(within)[:, None]

    def nearest(self, groups: Indices) -> tuple[Indices, Scores]:
        """The other label that each part is most like, and how alike they are."""
        nearest, similarity = np.full(len(groups), -1), np.full(len(groups), np.nan)
        for some in np.array_split(np.arange(len(groups)), len(groups) * len(self.size) // VALUES_PER_BATCH + 1):
            alike = self.mean_GD[groups[some]] @ self.mean_GD.T
            alike[self.speaker[groups[some]][:, None] == self.speaker] = -np.inf
            at = alike.argmax(axis=1) if len(some) else some
            best = alike[np.arange(len(some)), at]
            nearest[some] = np.where(best > -np.inf, self.speaker[at], -1)
            similarity[some] = np.where(best > -np.inf, best, np.nan)
        return nearest, similarity

    def remote(self) -> float:
        """What few labels fall below: how alike they are to the label that they are most like."""
        whole = np.flatnonzero(np.bincount(self.speaker)[self.speaker] == 1)
        if len(whole) > MAX_JOINED:
            whole = whole[np.linspace(0, len(whole) - 1, MAX_JOINED).astype(np.int64)]
        similarity = self.nearest(whole)[1]
        return float(np.quantile(similarity, REMOTE)) if len(whole) else -np.inf

    def strangers(self) -> tuple[float, float]:
        """Mean and standard deviation of the similarity of parts of different labels, over a sample of pairs."""
        shift = np.arange(1, len(self.size))[: max(1, MAX_JOINED // len(self.size))]
        first = np.tile(np.arange(len(self.size)), len(shift))
        second = (first + np.repeat(shift, len(self.size))) % len(self.size)
        other = self.speaker[first] != self.speaker[second]
        alike = np.einsum("pd,pd->p", self.mean_GD[first[other]], self.mean_GD[second[other]])
        return float(alike.mean()), float(alike.std())
