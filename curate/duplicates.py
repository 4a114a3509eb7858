"""Tell recordings that are in a collection twice: the same samples, or the same recording changed or cut.

Two recordings are near duplicates where landmarks of both (`curate.landmarks`) agree, and do so at one offset in time:
as many as `min_landmarks`, and as `min_share` of those that the one with fewer landmarks has. Recordings are compared
only where they share a seed, two landmarks that begin at one peak, and where within 2.56 s of it at least `MIN_BESIDE`
landmarks, these two among them, lie about as long before or after it in both. A seed alone says little among millions
of recordings: it is three peaks, and of voices that have three in common a third have the next, too. By chance, of all
pairs of the recordings of LibriSpeech, EmoDB and FSDD, at most 6 landmarks agree (of 520), and one sentence said twice
by one actor agrees in no more than 2; copies agree in a fifth (GSM) to all of theirs. What agrees must lie over
`min_span` of the shorter one: a word or a jingle in common does not. Two recordings in which the same music is louder
than the speech throughout may be told the same: they agree in the music. Of less than a second there are too few
landmarks: such copies are told only where their samples are the same. More than a hundred changed copies of one
recording are not told: so many share the sounds that are everywhere, too.

Groups are stars, not chains. Of what is connected by agreements, the one that is to stay first takes away those that
agree with itself; of what is left, the next; until nothing is left. Who stays first: where all bear one label the
longest, then the first id. Where they bear several, that label comes first of which a member sounds most like the rest
of it: the greatest cosine of a member to the sum of its label's vectors outside what is connected, -1 where there is
none. Labels that are as like but for `ABOUT_EQUAL` are those of one person, whose recordings should stay together: the
label with more utterances comes first. All is done in the order of ids, so no result depends on the order of rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from curate.codes import give_back, is_ascending
from curate.decisions import Author, verdicts
from curate.marks import Marks
from curate.presets import Duplicates
from curate.reasons import Reason, Subject, Verdict
from curate.similarity import Indices, Scores, Vectors, unit

ABOUT_EQUAL = 0.05  # of cosines
MAX_ALIKE = 100  # recordings that share a seed; what more share is no sign of a copy, but of a common sound
MIN_BESIDE = 6  # landmarks that agree around a seed, before all of two recordings are held against each other
SEEDS_AT_ONCE, LANDMARKS_AT_ONCE = 1 << 24, 1 << 22  # 128 MB and 32 MB
PAIRS_AT_ONCE = 1 << 22  # 32 MB of each figure of a pair


@dataclass(frozen=True, kw_only=True)
class Alike:
    """Which of N utterances, in the order of their ids, have the same samples, and which of these are near."""

    sound: Indices  # (N,) of equal samples the same number
    near: "Near"


def judge_duplicates(
    utterances: pa.Table, prints: pa.Table, vectors: Vectors, *, settings: Duplicates, author: Author
) -> pa.Table:
    """Decisions on those of N `utterances` (utterance_id, speaker_id, duration_s) that another one stands for.

    `vectors` (N, D) are theirs row by row; `prints` (rows of SOUND_PRINTS) are found by id. Raises ValueError for an
    utterance without a print, and for a vector without direction where labels are compared.
    """
    found = alike(utterances["utterance_id"], prints, Marks.held(prints["landmarks"]), settings)
    return judge_alike(utterances, found, vectors, author)


def alike(utterance_ids: pa.ChunkedArray, prints: pa.Table, marks: Marks, settings: Duplicates) -> Alike:
    """Hold the prints of these utterances against each other. Raises ValueError for one without a print.

    `prints` are rows of SOUND_PRINTS (utterance_id, samples_sha256), `marks` the landmarks of each row.
    """
    ids = utterance_ids if is_ascending(utterance_ids) else utterance_ids.take(pc.sort_indices(utterance_ids))
    known, samples, place = prints["utterance_id"], prints["samples_sha256"], np.arange(len(ids))
    if not ids.equals(known):  # as a rule they are: to look up ten million takes two gigabytes
        found = pc.index_in(ids, value_set=known.combine_chunks()).combine_chunks()
        if found.null_count:
            raise ValueError(f"{ids.filter(pc.is_null(found))[0]}: has no sound print; expected one for each utterance")
        samples, place = samples.take(found), found.to_numpy()
    sound = _numbers(samples)
    give_back()
    first = np.unique(sound, return_index=True)[1]
    near = near_pairs(marks, place[first], settings) if settings.near else _NOTHING
    return Alike(sound=sound, near=near)


def judge_alike(utterances: pa.Table, found: Alike, vectors: Vectors, author: Author) -> pa.Table:
    """The decisions that `judge_duplicates` gives, from what is alike."""
    order = np.arange(len(utterances))
    if not is_ascending(utterances["utterance_id"]):
        order = pc.sort_indices(utterances["utterance_id"]).to_numpy().astype(np.int64)
        utterances = utterances.take(pa.array(order))
    ids, sound, near = utterances["utterance_id"].combine_chunks(), found.sound, found.near
    duration_s, speaker = utterances["duration_s"].to_numpy(), _numbers(utterances["speaker_id"])
    labels = _Labels(speaker, vectors, order)
    repeats: list[tuple[int, int, int]] = []
    for group in _connected(sound, near):
        rank = labels.rank(group)
        ranked = sorted((*rank[speaker[row]], -duration_s[row], row) for row in group.tolist())
        repeats += _stars([row for *_, row in ranked], sound, near)
    repeats.sort()
    rows, stays, pair = np.array(repeats, np.int64).reshape(-1, 3).T
    score, least = (np.append(values, np.nan)[pair] for values in (near.score, near.least))
    return verdicts(
        author,
        Subject.UTTERANCE,
        ids.take(rows),
        verdict=Verdict.DROP,
        reason=np.where(pair < 0, str(Reason.DUPLICATE), str(Reason.NEAR_DUPLICATE)),
        other_ids=ids.take(stays),
        score=score,
        lower_bound=least,
    )


def _numbers(texts: pa.ChunkedArray) -> Indices:
    """Of equal texts the same number, from 0 in the order in which they come."""
    numbers: Indices = texts.combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)
    return numbers


def _stars(rows: list[int], sound: Indices, near: "Near") -> Iterator[tuple[int, int, int]]:
    """Each row that is taken away, the one that stays for it, and the pair that says so: -1 for the same samples."""
    rows_of: dict[int, list[int]] = {}
    for row in rows:
        rows_of.setdefault(int(sound[row]), []).append(row)
    gone: set[int] = set()
    for stays in rows:
        if stays in gone:
            continue
        one = int(sound[stays])
        for other, pair in [(one, -1), *near.beside.get(one, ())]:
            for row in rows_of.get(other, ()):
                if row != stays and row not in gone:  # and comes later: one that stayed before would have taken `stays`
                    gone.add(row)
                    yield row, stays, pair


@dataclass(frozen=True, kw_only=True)
class Near:
    """P pairs of recordings, the first as `one`; how many landmarks agree, and the least that would do."""

    one: Indices
    other: Indices
    score: Indices
    least: Indices

    @cached_property
    def beside(self) -> dict[int, list[tuple[int, int]]]:
        """Of each recording the ones that agree with it, and the places of these pairs."""
        found: dict[int, list[tuple[int, int]]] = {}
        for place, (one, other) in enumerate(zip(self.one.tolist(), self.other.tolist(), strict=True)):
            found.setdefault(one, []).append((other, place))
            found.setdefault(other, []).append((one, place))
        return found


_NOTHING = Near(one=np.zeros(0, int), other=np.zeros(0, int), score=np.zeros(0, int), least=np.zeros(0, int))


def near_pairs(
    marks: Marks, rows: Indices, settings: Duplicates, side: Indices | None = None, *, min_beside: int = MIN_BESIDE
) -> Near:
    """All pairs of these `rows` of recordings that are near duplicates, numbered as in `rows`.

    Where the `side` of each row is given, those of two sides only. With `min_beside` 2 all that share a seed are held
    against each other. As large as the landmarks, and written where these have room for it, are the seeds; else it
    takes some 500 MB and, for each row, the space of a few numbers.
    """
    from curate import agreement  # numba takes a third of a second to import

    values, start, end = marks.values, marks.offsets[rows], marks.offsets[rows + 1]
    found = [np.zeros((3, 0), np.int64)]
    for seeds in _in_parts(marks, start, end):
        begin = 0
        while begin < len(seeds):
            room = np.empty(PAIRS_AT_ONCE, np.int64)
            least = min(min_beside, settings.min_landmarks)
            num, begin = agreement.candidates(values, start, end, seeds, begin, MAX_ALIKE, least, room)
            pairs = np.sort(room[:num])
            pairs = pairs[np.diff(pairs, prepend=-1) > 0]
            if side is not None:
                pairs = pairs[side[pairs >> 32] != side[pairs & agreement.ROW_MASK]]
            found.append(near_among(pairs, values, start, end, settings))
        marks.let_go()
    pair, score, least_of = np.unique(np.concatenate(found, axis=1), axis=1)
    return Near(one=pair >> 32, other=pair & agreement.ROW_MASK, score=score, least=least_of)


def near_among(pairs: Indices, values: Indices, start: Indices, end: Indices, settings: Duplicates) -> Indices:
    """(3, P) those of these pairs that are near duplicates, how many landmarks agree, and the least that would do.

    Of a pair (M,) one recording is in the high 32 bits; recording r has the landmarks `values[start[r] : end[r]]`.
    """
    from curate import agreement

    one, other = pairs >> 32, pairs & agreement.ROW_MASK
    share = settings.min_share * np.minimum((end - start)[one], (end - start)[other])
    least = np.maximum(settings.min_landmarks, np.ceil(share).astype(np.int64))
    counts = np.empty(len(pairs), np.int64)
    agreement.agreeing(values, start, end, pairs, least, counts)
    pairs, counts, least = np.stack([pairs, counts, least])[:, counts >= least]
    spans = np.empty(len(pairs))
    agreement.spanned(values, start, end, pairs, spans)
    found: Indices = np.stack([pairs, counts, least])[:, spans >= settings.min_span]
    return found


def _in_parts(marks: Marks, start: Indices, end: Indices) -> Iterator[Indices]:
    """All seeds of R recordings, ascending, each recording's once; equal seeds come in one part."""
    from curate import agreement

    until = np.cumsum(end - start)  # landmarks; a recording has about as many seeds
    num_landmarks = int(until[-1]) if len(until) else 0
    stops = np.searchsorted(until, np.arange(LANDMARKS_AT_ONCE, num_landmarks, LANDMARKS_AT_ONCE), side="right")
    with marks.rooms(num_landmarks // SEEDS_AT_ONCE + 1) as files:
        for first, stop in pairwise(np.unique([0, *stops, len(until)]).tolist()):
            num_of_part = np.zeros(len(files), np.int64)
            agreement.seeds(marks.values, start, end, first, stop, num_of_part, np.empty(0, np.int64))
            some, bounds = np.empty(num_of_part.sum(), np.int64), np.cumsum(num_of_part)
            agreement.seeds(marks.values, start, end, first, stop, bounds - num_of_part, some)
            for file, of_part in zip(files, np.split(some, bounds[:-1]), strict=True):
                file.write(of_part.data)
            marks.let_go()
        for file in files:
            file.seek(0)
            seeds = np.sort(np.frombuffer(file.read(), np.int64))
            file.close()
            yield seeds[np.diff(seeds, prepend=-1) > 0]  # a loop has the same one many times


def _connected(sound: Indices, near: Near) -> Iterator[Indices]:
    """The rows of each two or more that agreements connect; row n has the samples `sound[n]`."""
    num = int(sound.max(initial=-1)) + 1
    graph = sparse.coo_array((np.ones(len(near.one), bool), (near.one, near.other)), shape=(num, num))
    group = sparse.csgraph.connected_components(graph, directed=False)[1][sound] if num else sound
    is_many = np.bincount(group, minlength=1)[group] > 1
    rows = np.flatnonzero(is_many)
    rows = rows[np.argsort(group[rows], kind="stable")]
    for _, some in groupby(rows.tolist(), key=lambda row: group[row]):
        yield np.array(list(some))


class _Labels:
    """The N utterances under each label, in the order of ids, and how much like it some of them sound."""

    def __init__(self, speaker: Indices, vectors: Vectors, place: Indices) -> None:
        self.speaker, self.vectors, self.place = speaker, vectors, place
        self.rows = np.argsort(speaker, kind="stable")
        self.start = np.searchsorted(speaker[self.rows], np.arange(int(speaker.max(initial=-1)) + 2))
        self.sums: dict[int, Scores] = {}

    def rank(self, group: Indices) -> dict[int, tuple[float, ...]]:
        """The labels of a group, each with what is least for the one whose recordings stay."""
        labels = np.unique(self.speaker[group]).tolist()
        if len(labels) == 1:
            return {labels[0]: ()}
        likeness = {label: self._likeness(label, group[self.speaker[group] == label]) for label in labels}
        best = max(likeness.values())
        is_best = {label: best - likeness[label] <= ABOUT_EQUAL for label in labels}
        size = {label: int(self.start[label + 1] - self.start[label]) for label in labels}
        return {label: (not is_best[label], -(size if is_best[label] else likeness)[label]) for label in labels}

    def _likeness(self, label: int, members: Indices) -> float:
        """The greatest cosine of a member to the sum of the label's vectors without all of them; -1 for no rest."""
        if len(members) == self.start[label + 1] - self.start[label]:
            return -1.0
        if label not in self.sums:
            self.sums[label] = self._directions(self.rows[self.start[label] : self.start[label + 1]]).sum(axis=0)
        of_members = self._directions(members)
        rest = self.sums[label] - of_members.sum(axis=0)
        length = float(np.linalg.norm(rest))
        return float((of_members @ rest).max() / length) if length else -1.0

    def _directions(self, rows: Indices) -> Scores:
        return unit(self.vectors[self.place[rows]]).astype(np.float64)
