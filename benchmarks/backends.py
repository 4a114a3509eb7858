"""Back ends: what is made of embeddings before and while two of them are compared, learnt from a training split.

Vectors are centred by the training mean, projected by linear discriminant analysis (LDA), given length one
(Garcia-Romero and Espy-Wilson, Interspeech 2011), and compared by cosine or by probabilistic linear discriminant
analysis (PLDA). Each part may be left out but for length one. Enrolment models are averaged before PLDA, which compares
one direction with one, however many utterances it is the mean of.

- LDA: the K directions in which the covariance between people is largest over that within them; scikit-learn's
  eigenvalue solver without shrinkage finds the same up to signs. Within people, variance is 1 in every direction.
- PLDA: two covariances, x = m + y + e with y of a person and e of an utterance (Brümmer and de Villiers, The speaker
  partitioning problem, Odyssey 2010). Kaldi's has the same form and estimates it by the same EM, 10 times, as here.
  SpeechBrain's of full rank has the same maximum; it begins elsewhere, and weighs every utterance alike in m.
- AS-norm: `benchmarks.scoring.Scorer`. Mean and deviation are those of the `top` scores against the cohort, the
  deviation divided by their number, as WeSpeaker has it (SpeechBrain divides by one less).

All that is learnt is in float64, in chunks: beside the vectors little more is held than D x D.
Shapes: N utterances, S people, D dimensions of the embedding, K after LDA, C of a cohort.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.metrics import Bools, Floats
from benchmarks.scoring import Side, Spread
from curate.similarity import Indices, Vectors, unit

ROWS_AT_ONCE = 8192
SCORES_AT_ONCE = 1 << 23  # of a cohort: 32 MB
NUM_ITERATIONS = 10
NO_VARIANCE = 1e-9  # of the largest: less is rounding of float32, or a dimension that an encoder never uses


@dataclass(frozen=True, kw_only=True)
class Scatter:
    """What LDA and PLDA know of vectors: how many are whose, the means of people, and how vectors lie around them."""

    count: Floats  # (S,)
    means: Floats  # (S, D)
    within: Floats  # (D, D) sum over utterances of (x - mean of the person)(x - mean of the person)'

    @property
    def between(self) -> Floats:
        """(D, D) sum over utterances of (mean of the person - mean)(mean of the person - mean)'."""
        apart = self.means - self.count @ self.means / self.count.sum()
        summed: Floats = (apart * self.count[:, None]).T @ apart
        return summed

    def seen_through(self, basis: Floats) -> "Scatter":
        """The same of vectors that `basis` (D, K) projects."""
        return Scatter(count=self.count, means=self.means @ basis, within=basis.T @ self.within @ basis)


@dataclass(frozen=True, kw_only=True)
class Plda:
    """Two covariances in the coordinates in which that within people is 1 and that between them is `between` (K,)."""

    mean: Floats  # (D,)
    basis: Floats  # (D, K)
    between: Floats  # (K,) descending, none below 0

    def rows_and_terms(self, vectors: Vectors) -> tuple[Vectors, Floats]:
        """(N, K) and (N,) of vectors (N, D): product and terms of two are the natural log-likelihood ratio.

        With b one of `between`, u and v of two vectors: log of N([u v]; 0, [[1+b, b], [b, 1+b]]) over N(u; 0, 1+b)
        N(v; 0, 1+b), which is b uv / (1+2b) - b^2 (u^2 + v^2) / (2 (1+2b) (1+b)) + log(1+b) - log(1+2b) / 2.
        """
        b = self.between
        rows: Vectors = np.empty((len(vectors), len(b)), np.float32)
        terms = np.full(len(vectors), (np.log1p(b) - np.log1p(2 * b) / 2).sum() / 2)
        for some in _chunks(len(vectors), ROWS_AT_ONCE):
            seen = (vectors[some] - self.mean) @ self.basis
            terms[some] -= seen**2 @ (b**2 / (2 * (1 + 2 * b) * (1 + b)))
            rows[some] = seen * np.sqrt(b / (1 + 2 * b))
        return rows, terms


@dataclass(frozen=True, kw_only=True)
class BackEnd:
    """What was learnt; with nothing, the comparison is the cosine of the vectors as they are."""

    mean: Floats | None = None  # (D,)
    lda: Floats | None = None  # (D, K)
    plda: Plda | None = None

    def directions(self, vectors: Vectors, *, overwrite: bool = False) -> Vectors:
        """(N, K) of length one: centred and projected. Raises ValueError for a vector that has no direction.

        With `overwrite` the vectors may be written over: of millions there is no room for many copies.
        """
        if self.mean is None and self.lda is None:
            return unit(vectors, overwrite=overwrite)
        dimension = vectors.shape[1] if self.lda is None else self.lda.shape[1]
        found: Vectors = vectors if overwrite and self.lda is None else np.empty((len(vectors), dimension), np.float32)
        for some in _chunks(len(vectors), ROWS_AT_ONCE):
            centred = vectors[some] - (0.0 if self.mean is None else self.mean)
            found[some] = centred if self.lda is None else centred @ self.lda
        return unit(found, overwrite=True)

    def side(self, ids: object, directions: Vectors) -> Side:
        """One side of trials, from `directions`, or from the directions of means of them."""
        if self.plda is None:
            return Side(ids=ids, rows=directions)
        rows, terms = self.plda.rows_and_terms(directions)
        return Side(ids=ids, rows=rows, terms=terms)


def fitted(
    vectors: Vectors,
    person: Indices,
    *,
    center: bool = False,
    lda_dimensions: int | None = None,
    plda: bool = False,
    plda_of: Bools | None = None,
) -> BackEnd:
    """A back end learnt from vectors (N, D), with `person` (N,) saying whose each is; PLDA from `plda_of` (N,) of them.

    Raises ValueError where there are too few people or utterances for what is asked.
    """
    mean = vectors.mean(axis=0, dtype=np.float64) if center else None
    lda = None if lda_dimensions is None else fit_lda(scatter(vectors, person), lda_dimensions)
    back_end = BackEnd(mean=mean, lda=lda)
    if not plda:
        return back_end
    chosen = np.ones(len(vectors), dtype=bool) if plda_of is None else plda_of
    learnt = scatter(back_end.directions(vectors[chosen]), person[chosen])
    return BackEnd(mean=mean, lda=lda, plda=fit_plda(learnt))


def scatter(vectors: Vectors, person: Indices) -> Scatter:
    """Of vectors (N, D). A person without a vector does not count."""
    if len(person) != len(vectors) or not len(vectors):
        raise ValueError(f"{len(person)} people of {len(vectors)} vectors; expected one of each, and some")
    _, code, count = np.unique(person, return_inverse=True, return_counts=True)
    dimension = vectors.shape[1]
    means, within = np.zeros((len(count), dimension)), np.zeros((dimension, dimension))
    for some in _chunks(len(vectors), ROWS_AT_ONCE):
        np.add.at(means, code[some], vectors[some])
    means /= count[:, None]
    for some in _chunks(len(vectors), ROWS_AT_ONCE):
        apart = vectors[some] - means[code[some]]
        within += apart.T @ apart
    return Scatter(count=count.astype(np.float64), means=means, within=within)


def fit_lda(known: Scatter, num_dimensions: int) -> Floats:
    """(D, K) the projection. Raises ValueError where K is more than dimensions, or people less one, can bear."""
    between, live = known.between, _live(known, "LDA")
    most = min(live.shape[1], len(known.count) - 1)
    if not 1 <= num_dimensions <= most:
        raise ValueError(
            f"LDA to {num_dimensions} dimensions of {len(known.count)} people in {live.shape[1]} dimensions; "
            f"expected 1 to {most}"
        )
    _, basis = _both_diagonal(live.T @ between @ live, live.T @ known.within @ live / known.count.sum())
    found: Floats = live @ basis[:, :num_dimensions]
    return found


def fit_plda(known: Scatter, *, num_iterations: int = NUM_ITERATIONS) -> Plda:
    """By EM from the covariances of the people's means and around them. People weigh the same in the mean.

    Coordinates change with each iteration to those in which both covariances are diagonal, so that what is known of a
    person given his n utterances, b / (1 + n b) wide around n b / (1 + n b) of their mean, is a column a person.
    Raises ValueError for fewer than two people, or where the covariance within them is singular.
    """
    live = _live(known, "PLDA")
    num_people, num_utterances = len(known.count), known.count.sum()
    mean = known.means.mean(axis=0)
    seen = Scatter(count=known.count, means=known.means - mean, within=known.within).seen_through(live)
    between, basis = _both_diagonal(seen.means.T @ seen.means / num_people, seen.within / (num_utterances - num_people))
    seen = seen.seen_through(basis)
    for _ in range(num_iterations):
        width = between / (1 + np.outer(seen.count, between))  # (S, K)
        expected = seen.count[:, None] * width * seen.means
        rest = seen.means - expected
        between_people = (np.diag(width.sum(axis=0)) + expected.T @ expected) / num_people
        weighed = seen.count[:, None] * rest
        within = (seen.within + np.diag(seen.count @ width) + weighed.T @ rest) / num_utterances
        between, change = _both_diagonal(between_people, within)
        seen, basis = seen.seen_through(change), basis @ change
    return Plda(mean=mean, basis=live @ basis, between=between)


def spread(side: Side, cohort: Side, top: int) -> Spread:
    """Of the `top` scores of each row of a side (N,) against a cohort (C,). Memory is that of 8 million scores.

    Raises ValueError where the cohort has fewer, or all of them are the same.
    """
    if not 2 <= top <= len(cohort.rows):
        raise ValueError(
            f"the {top} highest of {len(cohort.rows)} scores of a cohort; expected 2 to {len(cohort.rows)}"
        )
    mean, deviation = np.empty((2, len(side.rows)))
    at_once = max(1, SCORES_AT_ONCE // len(cohort.rows))
    for some in _chunks(len(side.rows), at_once):
        scores = side.rows[some] @ cohort.rows.T
        if cohort.terms is not None:
            scores += cohort.terms
        scores.partition(len(cohort.rows) - top, axis=1)
        highest = scores[:, -top:].astype(np.float64)
        mean[some], deviation[some] = highest.mean(axis=1), highest.std(axis=1)
    if side.terms is not None:
        mean += side.terms
    if not deviation.all():
        raise ValueError(f"the {top} highest scores of a cohort are the same; expected voices that differ")
    return Spread(mean=mean, deviation=deviation)


def _chunks(num_rows: int, at_once: int) -> list[slice]:
    return [slice(start, start + at_once) for start in range(0, num_rows, at_once)]


def _live(known: Scatter, what: str) -> Floats:
    """(D, K) the directions in which vectors vary at all. Raises ValueError where they do not vary within people."""
    num_people, num_utterances, dimension = len(known.count), int(known.count.sum()), known.means.shape[1]
    told = f"{what} of {num_utterances} utterances of {num_people} people in {dimension} dimensions"
    if num_people < 2:
        raise ValueError(f"{told}; expected two people or more")
    variance, directions = np.linalg.eigh(known.between + known.within)
    live: NDArray[np.float64] = directions[:, variance > NO_VARIANCE * variance[-1]]
    within = np.linalg.eigvalsh(live.T @ known.within @ live)
    if not within.size or within[0] <= NO_VARIANCE * variance[-1]:
        raise ValueError(f"{told}: no variance within people in some direction; expected more utterances of each")
    return live


def _both_diagonal(between: Floats, within: Floats) -> tuple[Floats, Floats]:
    """(K,) descending and (K, K): coordinates in which `within` is 1 and `between` is diagonal."""
    from scipy.linalg import eigh  # takes a while to import

    values, basis = eigh(between, within)
    return np.maximum(values[::-1], 0.0), basis[:, ::-1]
