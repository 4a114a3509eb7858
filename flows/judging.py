"""The steps that judge: what is there twice, whose label is wrong, who is who, how old.

Each reads what the ones before it left. No step takes rows away: a verdict does, or gives an utterance another label,
and `left` is where verdicts are joined to the utterances.
"""

import logging
from dataclasses import asdict

import pyarrow as pa
import pyarrow.compute as pc

from curate import cleaning
from curate.ages import label_ages
from curate.blocks import keep_rows
from curate.catalog import Catalog
from curate.codes import in_order
from curate.config import Pipeline
from curate.decisions import REVIEW, Author, as_decided, dropped, new_labels, relabelled
from curate.duplicates import alike, judge_alike
from curate.explain import counted
from curate.identities import same_people
from curate.labels import changes, labels_of
from curate.marks import Marks
from curate.reasons import Reason, Subject, Verdict
from curate.reviewed import pairs_of, reviewed
from curate.reviews import standing
from curate.runs import Part, Result, Step
from curate.schema import (
    AGE_LABELS,
    CALIBRATIONS,
    DECISIONS,
    EMBEDDINGS,
    IDENTITIES,
    REVIEWS,
    SOUND_PRINTS,
    SPEAKER_PAIRS,
    SPEAKER_SCORES,
    UTTERANCE_SCORES,
    UTTERANCES,
)
from curate.similarity import Vectors
from curate.speakers import SPANNED
from flows.code import CODE
from flows.embedding import embedded, encoder, ingested

SPEAKERS = pa.schema([("speaker_id", pa.string())])

log = logging.getLogger("voxcurate")


def ruling(catalog: Catalog) -> list[Part]:
    """The decisions of rules on utterances."""
    return [(DECISIONS, part) for part in (*ingested(catalog), "embed", "duplicates", "clean")]


def deciding(catalog: Catalog) -> list[Part]:
    """The decisions that say which utterances are left, and under which labels."""
    return [*ruling(catalog), (DECISIONS, REVIEW)]


def decided(catalog: Catalog) -> pa.Table:
    """The same, as rows."""
    return pa.concat_tables(catalog.read(DECISIONS, part) for _, part in deciding(catalog))


def left(catalog: Catalog, columns: list[str] | None = None) -> pa.Table:
    """The utterances that nothing drops, under the labels that they were given; of all `columns` or these.

    `columns` has utterance_id, and speaker_id where it has session_id.
    """
    utterances = catalog.read(UTTERANCES, columns=columns)
    return as_decided(utterances, changes(catalog, deciding(catalog)), labels_of(catalog))


def left_of(
    utterances: pa.Table, vectors: Vectors, decisions: pa.Table, speakers: pa.Table, *, overwrite: bool = False
) -> tuple[pa.Table, Vectors]:
    """The utterances that these decisions leave, in their order, under the labels that they give; their vectors.

    With `overwrite` these take the memory of the vectors that were given, which are no more.
    """
    stay = as_decided(utterances, decisions, speakers)
    stays = pc.is_in(utterances["utterance_id"], value_set=stay["utterance_id"].combine_chunks()).to_numpy()
    return stay, keep_rows(vectors, stays) if overwrite else vectors[stays]


def duplicates(pipeline: Pipeline, catalog: Catalog) -> Step:
    """Leave out what is there twice: a copy of oneself, under one's own label, would vouch for it."""
    listener = encoder(pipeline)

    def compare(step: Step) -> Result:
        prints = catalog.read(SOUND_PRINTS, listener.name, columns=["utterance_id", "samples_sha256"])
        marks = Marks.read(catalog.batches(SOUND_PRINTS, listener.name, ["landmarks"]), catalog.scratch)
        heard = catalog.read(EMBEDDINGS, listener.name, columns=["utterance_id"])["utterance_id"]
        repeated = alike(heard, prints, marks, pipeline.duplicates)
        del heard, prints, marks  # these and vectors are more than is to be held at once
        utterances, vectors = embedded(pipeline, catalog, ["utterance_id", "speaker_id", "duration_s"])
        author = Author(rule="samples and landmarks", step="duplicates", run_id=step.run_id)
        found = judge_alike(utterances, repeated, vectors, author)
        same = pc.sum(pc.equal(found["reason"], Reason.DUPLICATE)).as_py() or 0
        return [found], f"{same} the same samples, {len(found) - same} the same recording changed"

    return Step(
        catalog=catalog,
        name="duplicates",
        settings=asdict(pipeline.duplicates),
        code=CODE,
        reads=[UTTERANCES, (EMBEDDINGS, listener.name), (SOUND_PRINTS, listener.name)],
        publishes=[(DECISIONS, "duplicates")],
        compute=compare,
    )


def clean(pipeline: Pipeline, catalog: Catalog) -> Step:
    """Judge speakers and utterances by how alike they are."""
    listener, settings = encoder(pipeline), asdict(pipeline.cleaning)
    if settings.get("min_speaker_similarity") == "extractor":
        settings["min_speaker_similarity"] = listener.min_one_person

    def judge(step: Step) -> Result:
        copies, nobody_moves = catalog.read(DECISIONS, "duplicates"), SPEAKERS.empty_table()
        asked = ["utterance_id", "corpus", "speaker_id", "session_id"]
        utterances, vectors = left_of(*embedded(pipeline, catalog, asked), copies, nobody_moves, overwrite=True)
        found = cleaning.clean(
            utterances,
            vectors,
            settings=pipeline.cleaning,
            min_one_person=listener.min_one_person,
            author=Author(rule=f"{settings['preset']}, heard by {listener.name}", step="clean", run_id=step.run_id),
            overwrite=True,
        )
        speakers, dropped_utterances = (len(dropped(found.decisions, s)) for s in (Subject.SPEAKER, Subject.UTTERANCE))
        summary = (
            f"{counted(speakers, 'speaker')} invalid; "
            f"{dropped_utterances} of {counted(len(utterances), 'utterance')} dropped"
        )
        if moved := len(new_labels(found.decisions)):
            summary += f", {moved} moved to another label"
        return [found.utterance_scores, found.speaker_scores, found.decisions], summary

    return Step(
        catalog=catalog,
        name="clean",
        settings=settings,
        code=CODE,
        reads=[UTTERANCES, (EMBEDDINGS, listener.name), (DECISIONS, "duplicates")],
        publishes=[(UTTERANCE_SCORES, "all"), (SPEAKER_SCORES, "all"), (DECISIONS, "clean")],
        compute=judge,
    )


def review(pipeline: Pipeline, catalog: Catalog) -> Step:
    """Have what reviewers said stand in place of what rules say."""
    listener = encoder(pipeline)

    def outrank(step: Step) -> Result:
        stands = standing(catalog.read(REVIEWS) if catalog.parts(REVIEWS) else REVIEWS.arrow().empty_table())
        ruled, heard = (
            changes(catalog, ruling(catalog)),
            catalog.read(EMBEDDINGS, listener.name, columns=["utterance_id"]),
        )
        utterances = catalog.read(UTTERANCES, columns=["utterance_id", "speaker_id"])
        found = reviewed(stands, utterances, ruled, heard["utterance_id"], run_id=step.run_id)
        reviewers = counted(len(stands["reviewer"].unique()), "reviewer")
        summary = f"{counted(len(stands), 'verdict')} of {reviewers}"
        for left_out, why in (
            (found.gone, "about what is not there any more"),
            (found.contradicting, "contradicting others"),
        ):
            if left_out:
                summary += f"; {len(left_out)} {why}"
                log.info(f"review: {len(left_out)} {why}, the first: {left_out[0]}")
        return [found.decisions], summary

    return Step(
        catalog=catalog,
        name=REVIEW,
        settings={},
        code=CODE,
        reads=[UTTERANCES, (EMBEDDINGS, listener.name), *ruling(catalog), REVIEWS],
        publishes=[(DECISIONS, REVIEW)],
        compute=outrank,
    )


def identities(pipeline: Pipeline, catalog: Catalog) -> Step:
    """Find labels that stand for one person."""
    listener, settings = encoder(pipeline), asdict(pipeline.identities)
    settings["min_same_person"] = listener.min_same_person

    def compare(step: Step) -> Result:
        speakers, decisions = labels_of(catalog), changes(catalog, deciding(catalog))
        asked = ["utterance_id", "speaker_id", "session_id", "duration_s"]
        heard, vectors = left_of(*embedded(pipeline, catalog, asked), decisions, speakers, overwrite=True)
        author = Author(rule="mean cosine, complete groups", step="identities", run_id=step.run_id)
        same = same_people(
            speakers,
            heard,
            vectors,
            settings=pipeline.identities,
            min_same_person=listener.min_same_person,
            author=author,
            reviewed=pairs_of(catalog.read(DECISIONS, REVIEW)),
            overwrite=True,
        )
        found = same.unified
        people = len(found.identities["identity_id"].unique())
        merged = pc.sum(pc.equal(found.decisions["verdict"], Verdict.MERGE)).as_py() or 0
        is_ruled = pc.not_equal(found.decisions["reason"], Reason.REVIEWED)
        apart = pc.sum(pc.and_(is_ruled, pc.equal(found.decisions["verdict"], Verdict.KEEP))).as_py() or 0
        summary = (
            f"{counted(len(speakers), 'label')} of {counted(people, 'person', 'people')}; "
            f"{counted(merged, 'pair')} merged, {counted(apart, 'similar one')} kept apart; {same.threshold}"
        )
        return [found.speaker_pairs, found.identities, same.calibrations, found.decisions], summary

    return Step(
        catalog=catalog,
        name="identities",
        settings=settings,
        code=CODE,
        reads=[UTTERANCES, (EMBEDDINGS, listener.name), *deciding(catalog)],
        publishes=[(SPEAKER_PAIRS, "all"), (IDENTITIES, "all"), (CALIBRATIONS, "all"), (DECISIONS, "identities")],
        compute=compare,
    )


def ages(pipeline: Pipeline, catalog: Catalog) -> Step:
    """Label every utterance with its age group."""

    def tell(step: Step) -> Result:
        asked, decisions = ["utterance_id", "speaker_id", *SPANNED], changes(catalog, deciding(catalog))
        utterances = in_order(catalog.read(UTTERANCES, columns=asked), "utterance_id")
        rows = label_ages(relabelled(utterances, decisions, labels_of(catalog)), pipeline.ages.schemes)
        labelled = len(rows) - rows["age_group"].null_count
        schemes = ", ".join(pipeline.ages.schemes) or "no scheme"
        return [rows], f"{labelled} of {counted(len(rows), 'label')} given, in {schemes}"

    return Step(
        catalog=catalog,
        name="ages",
        settings=asdict(pipeline.ages),
        code=CODE,
        reads=[UTTERANCES, *deciding(catalog)],
        publishes=[(AGE_LABELS, "all")],
        compute=tell,
    )
