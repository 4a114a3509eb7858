"""What is shown follows the files, and a word that is added changes what it is about and nothing else."""

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curate.named import Review
from curate.reasons import Subject, Verdict
from curate.reviews import decide, said
from curate.schema import DECISIONS, REVIEWS
from pages.review.shown import Moment, Shown, Tables

WORDS = st.tuples(
    st.sampled_from(["ann", "bob"]),
    st.sampled_from(
        [
            *((Subject.UTTERANCE, "one/ann/2", None, verdict) for verdict in (Verdict.KEEP, Verdict.DROP, None)),
            *((Subject.SPEAKER, "one/bob", None, verdict) for verdict in (Verdict.KEEP, None)),
            *((Subject.PAIR, "two/cem", "one/bob", verdict) for verdict in (Verdict.KEEP, None)),  # no rule spoke of it
        ]
    ),
)


def say(catalog, reviewer, subject, one, other, verdict):
    decide(catalog, reviewer, [Review(subject=subject, subject_id=one, other_id=other, verdict=verdict)])


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.lists(WORDS, min_size=1, max_size=6), asked=st.integers(0, 5))
def test_what_is_shown_after_each_word_is_what_would_be_shown_anew(catalog, words, asked):
    for part in catalog.parts(REVIEWS):
        catalog.path(REVIEWS, part).unlink()
    shown = Shown(catalog)
    for turn, (reviewer, word) in enumerate(words):
        say(catalog, reviewer, *word)
        now, anew = shown.now(), Moment(shown.now().tables, said(catalog))
        assert now.items["about"].to_pylist() == anew.items["about"].to_pylist()
        for name in (None, "ann", "bob")[: 1 + (turn + asked) % 3]:  # what was asked before is gone on from
            assert np.array_equal(now.decided(name), anew.decided(name)), name


def test_tables_are_read_once_and_again_when_a_run_has_published(catalog, monkeypatch):
    read = []
    monkeypatch.setattr("pages.review.shown.Tables", lambda catalog: read.append(1) or Tables(catalog))
    shown = Shown(catalog)
    before = shown.now()
    say(catalog, "ann", Subject.SPEAKER, "one/bob", None, Verdict.DROP)
    assert shown.now() is not before
    assert shown.now() is shown.now()
    assert len(read) == 1
    catalog.publish(DECISIONS, catalog.read(DECISIONS, "ingest"), part="ingest", fingerprint="g")
    assert shown.now().said_by("ann").num_rows == 1
    assert len(read) == 2


def test_utterances_are_found_by_speaker_and_by_id(catalog):
    tables = Tables(catalog)
    rows = tables.utterances.to_pylist()
    for speaker in {row["speaker_id"] for row in rows}:
        found = tables.utterances_of(speaker)["utterance_id"].to_pylist()
        assert found == [row["utterance_id"] for row in rows if row["speaker_id"] == speaker]
    assert tables.utterances_of("nobody").num_rows == 0
    assert [tables.utterance(row["utterance_id"]) for row in rows] == rows
    assert tables.utterance("nobody") is None
