"""Recordings and people of two sides that share no name, and sound as if they were one.

Sides are numbered from 0. Shapes: N utterances, T things (recordings or people, each of one side), P pairs of them, D
dimensions of a vector.

Recordings are held against each other as `curate.duplicates` does it, and with its limits: where more than a hundred
share what they share, as in a training set of a hundred changed copies of everything, they are not told.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from curate.blocks import keep_rows
from curate.duplicates import near_pairs
from curate.marks import Marks
from curate.presets import Duplicates
from curate.similarity import Flags, Indices, Scores, Vectors, mean_vectors, product_error, unit

NEAR = Duplicates()
PEOPLE_PER_TILE = 512  # a tile of cosines is 1 MB


@dataclass(frozen=True, kw_only=True)
class Alike:
    """Things in the order of their sides, and the pairs of them that are alike: `one` is of the earlier side."""

    thing: Indices  # (N,) of each utterance; -1 where nothing of it is known
    side: Indices  # (T,) on which each thing is
    first: Indices  # (T,) its first utterance
    can_be_told: Flags  # (T,) there is enough of it
    one: Indices  # (P,)
    other: Indices  # (P,)
    score: Scores  # (P,) how alike they are


def nothing_known(num_utterances: int) -> Alike:
    """Where there is nothing to tell it by."""
    none, score = np.zeros(0, np.int64), np.zeros(0)
    return Alike(
        thing=np.full(num_utterances, -1),
        side=none,
        first=none,
        can_be_told=np.zeros(0, np.bool_),
        one=none,
        other=none,
        score=score,
    )


def alike_recordings(samples: Indices, side: Indices, marks: Marks, place: Indices) -> Alike:
    """Near duplicates of other samples; the score is how many landmarks agree.

    Of each utterance `samples` (N,) numbers its samples (-1: not known), `side` (N,) its side, and `place` (N,) says
    which recording of `marks` is its own.
    """
    thing, first = _things(samples, side)
    rows = place[first]
    near = near_pairs(marks, rows, NEAR, side[first])
    differ = samples[first[near.one]] != samples[first[near.other]]
    return Alike(
        thing=thing,
        side=side[first],
        first=first,
        can_be_told=np.diff(marks.offsets)[rows] >= NEAR.min_landmarks,
        one=near.one[differ],
        other=near.other[differ],
        score=near.score[differ].astype(np.float64),
    )


def alike_people(person: Indices, side: Indices, vectors: Vectors, place: Indices, least: Scores) -> Alike:
    """Two people whose mean cosine is as great as one person's; the score is that cosine.

    Of each utterance `person` (N,) numbers who speaks, `side` (N,) its side, `place` (N,) which row of `vectors` is
    its own (-1: none), and `least` (N,) says what its corpus asks of one person. What asks the most counts. `vectors`
    are written over: of millions there is no room for another copy. Raises ValueError for one without direction.
    """
    heard = place >= 0
    thing, first = _things(np.where(heard, person, -1), side)
    of_row = np.full(len(vectors), -1)
    of_row[place[heard]] = thing[heard]
    means = mean_vectors(unit(keep_rows(vectors, of_row >= 0), overwrite=True), of_row[of_row >= 0], len(first))
    asked = np.full(len(first), -np.inf)
    np.maximum.at(asked, thing[heard], least[heard])
    of_sides = [np.flatnonzero(side[first] == number) for number in np.unique(side[first])]
    found = [(np.zeros((2, 0), np.int64), np.zeros(0))]
    for one, other in combinations(of_sides, 2):
        for pairs, cosines in similar_between(means[one], means[other], asked[one], asked[other]):
            found.append((np.stack([one[pairs[0]], other[pairs[1]]]), cosines))
    (ones, others), score = (np.concatenate(parts, axis=-1) for parts in zip(*found, strict=True))
    differ = person[first[ones]] != person[first[others]]
    return Alike(
        thing=thing,
        side=side[first],
        first=first,
        can_be_told=np.ones(len(first), np.bool_),
        one=ones[differ],
        other=others[differ],
        score=score[differ],
    )


def similar_between(
    ones: Vectors, others: Vectors, asked_of_ones: Scores, asked_of_others: Scores
) -> Iterator[tuple[Indices, Scores]]:
    """Pairs (2, P) of rows of which the products are as great as both ask, and these in float64; a tile at a time."""
    margin = product_error(ones.shape[1])
    for row in range(0, len(ones), PEOPLE_PER_TILE):
        for column in range(0, len(others), PEOPLE_PER_TILE):
            rows, columns = slice(row, row + PEOPLE_PER_TILE), slice(column, column + PEOPLE_PER_TILE)
            asked = np.maximum.outer(asked_of_ones[rows], asked_of_others[columns])
            pairs = np.stack(np.nonzero(ones[rows] @ others[columns].T >= asked - margin))
            exact = np.einsum("pd,pd->p", ones[rows][pairs[0]], others[columns][pairs[1]], dtype=np.float64)
            reach = exact >= asked[pairs[0], pairs[1]]
            yield pairs[:, reach] + np.array([[row], [column]]), exact[reach]


def _things(number: Indices, side: Indices) -> tuple[Indices, Indices]:
    """What has one number on one side is one thing: (N,) which, -1 without a number, and (T,) where it comes first."""
    known = np.flatnonzero(number >= 0)
    key = side[known] * (number.max(initial=0) + 1) + number[known]
    _, first, thing = np.unique(key, return_index=True, return_inverse=True)
    every = np.full(len(number), -1)
    every[known] = thing
    return every, known[first]
