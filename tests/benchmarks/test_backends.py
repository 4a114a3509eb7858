"""What `benchmarks.backends` promises: LDA and PLDA as others compute them, and large cohorts in little memory."""

import sys
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from benchmarks import backends
from benchmarks.backends import BackEnd, Plda, fit_lda, fit_plda, fitted, scatter, spread
from benchmarks.scoring import Scorer, Side
from curate.similarity import unit

OLD_NAMES = "DeprecatedModuleRedirect"
SEEDS = st.integers(0, 2**32 - 1)


def spoken(rng, *, num_people=60, each=8, dimension=5, between=None, within=None):
    """Vectors of two covariances (float32) and whose each is, in random order."""
    between = np.eye(dimension) if between is None else between
    within = np.eye(dimension) if within is None else within
    people = rng.multivariate_normal(np.arange(dimension), between, num_people)
    person = rng.permutation(np.repeat(np.arange(num_people), each))
    vectors = people[person] + rng.multivariate_normal(np.zeros(dimension), within, len(person))
    return vectors.astype(np.float32), person


def covariance(rng, dimension):
    root = rng.normal(size=(dimension, 2 * dimension))
    return root @ root.T / dimension


def ids(num):
    return pa.array([f"toy/{i}" for i in range(num)])


def matrix(one, other):
    """All scores of two sides."""
    left, right = (np.indices((len(one.rows), len(other.rows))).reshape(2, -1)).astype(np.int32)
    return Scorer(enrol=one, test=other).scores(left, right).reshape(len(one.rows), -1)


def log_likelihood(vectors, person, mean, between, within):
    """Of two covariances, one Gaussian a person over all that he said."""
    total = 0.0
    for one in np.unique(person):
        own = vectors[person == one].astype(np.float64)
        block = np.kron(np.ones((len(own), len(own))), between) + np.kron(np.eye(len(own)), within)
        total += multivariate_normal(np.tile(mean, len(own)), block).logpdf(own.ravel())
    return total


def covariances(plda):
    """Between and within people, in the coordinates of the vectors."""
    back = np.linalg.inv(plda.basis)
    return back.T @ np.diag(plda.between) @ back, back.T @ back


# ------------------------------------------------------------------------------------------------------------- LDA


def test_lda_finds_the_direction_in_which_people_differ():
    # Two people at x = 0 and x = 4; y varies as much within either, so that the direction is x alone.
    vectors = np.float32([[-1, 1], [1, 1], [-1, -1], [1, -1], [3, 1], [5, 1], [3, -1], [5, -1]])
    basis = fit_lda(scatter(vectors, np.repeat([0, 1], 4)), 1)
    np.testing.assert_allclose(np.abs(basis), [[1.0], [0.0]], atol=1e-12)


@settings(max_examples=20)
@given(SEEDS, st.integers(1, 4))
def test_lda_is_scikit_learns(seed, num_dimensions):
    rng = np.random.default_rng(seed)
    vectors, person = spoken(rng, between=covariance(rng, 5), within=covariance(rng, 5))
    ours = fit_lda(scatter(vectors, person), num_dimensions)
    theirs = LinearDiscriminantAnalysis(solver="eigen").fit(vectors.astype(np.float64), person)
    theirs = theirs.scalings_[:, :num_dimensions]
    np.testing.assert_allclose(ours * np.sign((ours * theirs).sum(axis=0)), theirs, rtol=1e-5, atol=1e-7)


def test_what_is_learnt_does_not_depend_on_the_chunks(monkeypatch):
    vectors, person = spoken(np.random.default_rng(0))
    whole = scatter(vectors, person)
    monkeypatch.setattr(backends, "ROWS_AT_ONCE", 7)
    piecewise = scatter(vectors, person)
    np.testing.assert_allclose(piecewise.within, whole.within, rtol=1e-12)
    np.testing.assert_allclose(piecewise.means, whole.means, rtol=1e-12)


def test_a_dimension_that_the_encoder_never_uses_changes_nothing():
    vectors, person = spoken(np.random.default_rng(0))
    dead = np.insert(vectors, 2, 0.0, axis=1)
    for asked in ({"lda_dimensions": 3}, {"plda": True}, {"lda_dimensions": 3, "plda": True}):
        scores = []
        for given_ in (vectors, dead):
            back_end = fitted(given_, person, center=True, **asked)
            side = back_end.side(ids(9), back_end.directions(given_[:9]))
            scores.append(matrix(side, side))
        np.testing.assert_allclose(scores[0], scores[1], atol=1e-4)


# ------------------------------------------------------------------------------------------------------------ PLDA


def test_the_ratio_is_that_of_the_two_gaussians():
    plda = Plda(mean=np.zeros(2), basis=np.eye(2), between=np.array([3.0, 0.5]))
    vectors = np.float32([[1.0, 2.0], [1.5, -1.0], [-2.0, 0.0]])
    rows, terms = plda.rows_and_terms(vectors)
    side = Side(ids=ids(3), rows=rows, terms=terms)
    total = np.diag([4.0, 1.5])
    same = np.block([[total, np.diag([3.0, 0.5])], [np.diag([3.0, 0.5]), total]])
    by_hand = [
        [
            multivariate_normal(np.zeros(4), same).logpdf(np.concatenate([one, other]))
            - multivariate_normal(np.zeros(2), total).logpdf(one)
            - multivariate_normal(np.zeros(2), total).logpdf(other)
            for other in vectors
        ]
        for one in vectors
    ]
    np.testing.assert_allclose(matrix(side, side), by_hand, atol=1e-5)


@settings(max_examples=15)
@given(SEEDS)
def test_no_iteration_makes_the_training_vectors_less_likely(seed):
    rng = np.random.default_rng(seed)
    vectors, person = spoken(rng, num_people=12, each=3, dimension=3, within=covariance(rng, 3))
    kept = np.sort(rng.choice(len(person), 30, replace=False))  # people of unlike numbers of utterances
    known = scatter(vectors[kept], person[kept])
    found = [fit_plda(known, num_iterations=num) for num in (0, 1, 2, 5, 20)]
    likely = [log_likelihood(vectors[kept], person[kept], plda.mean, *covariances(plda)) for plda in found]
    assert all(later >= earlier - 1e-6 for earlier, later in pairwise(likely))


def test_the_covariances_that_made_the_vectors_are_found_again():
    rng = np.random.default_rng(0)
    between, within = covariance(rng, 4), covariance(rng, 4)
    vectors, person = spoken(rng, num_people=4000, each=5, dimension=4, between=between, within=within)
    plda = fit_plda(scatter(vectors, person))
    for found, true in zip(covariances(plda), (between, within), strict=True):
        assert np.abs(found - true).max() < 0.08 * np.abs(true).max()
    np.testing.assert_allclose(plda.mean, np.arange(4), atol=0.15)


@pytest.fixture(scope="module")
def library():
    """SpeechBrain's PLDA, without its old names of modules: hypothesis looks at each, and they warn of that."""
    from speechbrain.processing import PLDA_LDA

    for name in [name for name, module in sys.modules.items() if type(module).__name__ == OLD_NAMES]:
        del sys.modules[name]
    return PLDA_LDA


def of_speechbrain(library, train, person, enrol, test, num_iterations):
    """All scores of its PLDA of full rank."""

    def stats(vectors, models):
        names = np.array([f"s{i}" for i in range(len(vectors))], dtype="|O")
        none = np.array([None] * len(vectors))
        of_models = np.array([f"m{i}" for i in models], dtype="|O")
        return library.StatObject_SB(
            of_models, names, none, none, np.ones((len(vectors), 1)), vectors.astype(np.float64)
        )

    plda = library.PLDA(rank_f=train.shape[1], nb_iter=num_iterations)
    plda.plda(stats(train, person))
    one, other = stats(enrol, np.arange(len(enrol))), stats(test, np.arange(len(test)))
    asked = library.Ndx(models=one.modelset, testsegs=other.segset)
    asked.modelset, asked.segset = one.modelset, other.segset
    asked.trialmask = np.ones((len(enrol), len(test)), dtype=bool)
    model = (plda.mean, plda.F, plda.Sigma)
    return library.fast_PLDA_scoring(one, other, asked, *model, check_missing=False).scoremat


def test_plda_is_speechbrains_where_both_have_converged(library):
    rng = np.random.default_rng(1)
    vectors, person = spoken(rng, num_people=100, each=6, dimension=4, within=covariance(rng, 4))
    heard, _ = spoken(rng, num_people=10, each=2, dimension=4)
    rows, terms = fit_plda(scatter(vectors, person), num_iterations=100).rows_and_terms(heard)
    side = Side(ids=ids(20), rows=rows, terms=terms)
    theirs = of_speechbrain(library, vectors, person, heard, heard, 300)
    np.testing.assert_allclose(matrix(side, side), theirs, atol=2e-3)


# ---------------------------------------------------------------------------------------------------- whole back ends


def test_nothing_learnt_is_the_cosine():
    vectors = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    side = BackEnd().side(ids(6), BackEnd().directions(vectors))
    np.testing.assert_allclose(matrix(side, side), unit(vectors) @ unit(vectors).T, atol=1e-6)


def test_the_chain_is_centred_projected_and_of_length_one_before_plda():
    rng = np.random.default_rng(3)
    vectors, person = spoken(rng, dimension=6, within=covariance(rng, 6))
    long = rng.random(len(vectors)) < 0.7
    back_end = fitted(vectors, person, center=True, lda_dimensions=3, plda=True, plda_of=long)
    mean = vectors.astype(np.float64).mean(axis=0)
    lda = LinearDiscriminantAnalysis(solver="eigen", n_components=3).fit(vectors.astype(np.float64), person)
    projected = (vectors - mean) @ lda.scalings_[:, :3]
    projected /= np.linalg.norm(projected, axis=1, keepdims=True)
    by_hand = fit_plda(scatter(projected.astype(np.float32)[long], person[long]))
    rows, terms = by_hand.rows_and_terms(projected[:7].astype(np.float32))
    expected = Side(ids=ids(7), rows=rows, terms=terms)
    side = back_end.side(ids(7), back_end.directions(vectors[:7]))
    np.testing.assert_allclose(matrix(side, side), matrix(expected, expected), atol=1e-3)


# ----------------------------------------------------------------------------------------------------------- AS-norm


def test_a_worked_cohort():
    # Cosines with the cohort are 1, 0 and -1: of the two highest the mean is 0.5, and so is the deviation.
    side, cohort = (Side(ids=ids(len(rows)), rows=np.float32(rows)) for rows in ([[1, 0]], [[-1, 0], [0, 1], [1, 0]]))
    found = spread(side, cohort, 2)
    assert (found.mean.tolist(), found.deviation.tolist()) == ([0.5], [0.5])
    normed = Side(ids=side.ids, rows=side.rows, spread=found)
    assert matrix(normed, normed).tolist() == [[1.0]]  # the cosine 1 is one deviation above both means


@settings(max_examples=25)
@given(SEEDS, st.integers(2, 9), st.integers(1, 100), st.booleans())
def test_as_norm_is_that_of_wespeaker_however_many_at_once(seed, top, at_once, is_plda):
    rng = np.random.default_rng(seed)
    plda = Plda(mean=np.zeros(4), basis=np.eye(4), between=1 + rng.random(4))
    enrol, test, cohort = (
        (BackEnd(plda=plda) if is_plda else BackEnd()).side(ids(num), unit(rng.normal(size=(num, 4)).astype("f4")))
        for num in (3, 5, 9)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backends, "SCORES_AT_ONCE", at_once)
        one, other = (
            Side(ids=side.ids, rows=side.rows, terms=side.terms, spread=spread(side, cohort, top))
            for side in (enrol, test)
        )
    raw, by_hand = matrix(enrol, test).astype(np.float64), 0.0
    for scores, axis in ((matrix(enrol, cohort), 0), (matrix(test, cohort), 1)):
        highest = np.sort(scores.astype(np.float64), axis=1)[:, ::-1][:, :top]
        mean, deviation = highest.mean(axis=1), highest.std(axis=1)
        by_hand += 0.5 * (raw - np.expand_dims(mean, 1 - axis)) / np.expand_dims(deviation, 1 - axis)
    np.testing.assert_allclose(matrix(one, other), by_hand, rtol=1e-3, atol=1e-3)


def test_a_cohort_takes_the_memory_of_a_chunk(monkeypatch):
    import tracemalloc

    rng = np.random.default_rng(0)
    side, cohort = (Side(ids=pa.nulls(num), rows=unit(rng.normal(size=(num, 8)).astype("f4"))) for num in (600, 20_000))
    monkeypatch.setattr(backends, "SCORES_AT_ONCE", 200_000)
    tracemalloc.start()
    spread(side, cohort, 50)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_500_000  # all scores would be 48 MB


# ------------------------------------------------------------------------------------------------------------ faults


def faulty(num_people, each, dimension):
    return scatter(*spoken(np.random.default_rng(0), num_people=num_people, each=each, dimension=dimension))


@pytest.mark.parametrize(
    ("attempt", "told"),
    [
        (lambda: fit_lda(faulty(1, 9, 3), 1), r"^LDA of 9 utterances of 1 people in 3 dim.*; expected two people"),
        (lambda: fit_lda(faulty(3, 9, 5), 3), r"^LDA to 3 dimensions of 3 people in 5 dimensions; expected 1 to 2$"),
        (lambda: fit_lda(faulty(9, 9, 5), 6), r"expected 1 to 5$"),
        (
            lambda: fit_plda(faulty(9, 1, 3)),
            r"^PLDA of 9 utt.*no variance within .*; expected more utterances of each$",
        ),
        (lambda: fit_plda(faulty(4, 2, 6)), r"^PLDA of 8 utterances of 4 people in 6 dimensions: no variance"),
        (lambda: scatter(np.ones((3, 2), "f4"), np.zeros(2)), r"^2 people of 3 vectors; expected one of each"),
        (lambda: scatter(np.ones((0, 2), "f4"), np.zeros(0)), r"^0 people of 0 vectors; expected .*some$"),
    ],
)
def test_too_little_to_learn_from_is_told(attempt, told):
    with pytest.raises(ValueError, match=told) as caught:
        attempt()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("top", [1, 4])
def test_a_cohort_that_is_too_small_is_told(top):
    side = Side(ids=ids(3), rows=np.eye(3, dtype=np.float32))
    with pytest.raises(ValueError, match=rf"^the {top} highest of 3 scores of a cohort; expected 2 to 3$"):
        spread(side, side, top)


def test_a_cohort_of_one_voice_is_told():
    side = Side(ids=ids(3), rows=np.float32([[1, 0]] * 3))
    with pytest.raises(ValueError, match="are the same; expected voices that differ"):
        spread(side, side, 2)


# -------------------------------------------------------------------------------------------------------- real speech


@pytest.mark.real
def test_plda_of_real_voices_is_speechbrains(corpora, library):
    """GE2E hears six speakers of FSDD; LDA leaves five dimensions, in which both estimate PLDA."""
    from curate.audio import decode
    from curate.hearing import Ge2e
    from models.extractors import extractor

    encoder, files = extractor(Ge2e(device="cpu")), sorted((corpora / "fsdd").rglob("*.wav"))[::2]
    vectors = encoder.embed([decode(file, sample_rate_hz=encoder.sample_rate_hz) for file in files])
    person = np.unique([file.name.split("_")[1] for file in files], return_inverse=True)[1]
    back_end = fitted(vectors, person, center=True, lda_dimensions=5, plda=True)
    directions = back_end.directions(vectors)
    rows, terms = fit_plda(scatter(directions, person), num_iterations=300).rows_and_terms(directions[::4])
    side = Side(ids=ids(len(rows)), rows=rows, terms=terms)
    theirs = of_speechbrain(library, directions, person, directions[::4], directions[::4], 300)
    np.testing.assert_allclose(matrix(side, side), theirs, rtol=0.01, atol=0.01)
