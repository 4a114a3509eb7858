"""The steps that judge: whose label is wrong, who is who, how old.

Each reads what the ones before it left. No step takes rows away: a verdict does, or gives an utterance another label,
and `left` is where verdicts are joined to the utterances.
"""

from dataclasses import asdict

import pyarrow as pa
import pyarrow.compute as pc

from curate import cleaning
from curate.ages import label_ages
from curate.catalog import Catalog
from curate.config import Pipeline
from curate.decisions import Author, as_decided, dropped, relabelled
from curate.explain import counted
from curate.identities import same_people
from curate.reasons import Subject, Verdict
from curate.runs import Part, Result, Step
from curate.schema import (
    AGE_LABELS,
    DECISIONS,
    EMBEDDINGS,
    IDENTITIES,
    SPEAKER_PAIRS,
    SPEAKER_SCORES,
    UTTERANCE_SCORES,
    UTTERANCES,
)
from curate.speakers import speaker_table
from flows.code import CODE
from flows.embedding import embedded, encoder, ingested


def deciding(catalog: Catalog) -> list[Part]:
    """The decisions that say which utterances are left, and under which labels."""
    return [(DECISIONS, part) for part in (*ingested(catalog), "embed", "clean")]


def decided(catalog: Catalog) -> pa.Table:
    """The same, as rows."""
    return pa.concat_tables(catalog.read(DECISIONS, part) for _, part in deciding(catalog))


def left(catalog: Catalog) -> pa.Table:
    """The utterances that nothing drops, under the labels that they were given."""
    utterances = catalog.read(UTTERANCES)
    return as_decided(utterances, decided(catalog), speaker_table(utterances))


def clean(pipeline: Pipeline, catalog: Catalog) -> Step:
    """Judge speakers and utterances by how alike they are."""
    listener, settings = encoder(pipeline), asdict(pipeline.cleaning)
    if settings.get("min_speaker_similarity") == "extractor":
        settings["min_speaker_similarity"] = listener.min_one_person

    def judge(step: Step) -> Result:
        utterances, vectors = embedded(pipeline, catalog)
        found = cleaning.clean(
            utterances,
            vectors,
            settings=pipeline.cleaning,
            min_one_person=listener.min_one_person,
            author=Author(rule=f"{settings['preset']}, heard by {listener.name}", step="clean", run_id=step.run_id),
        )
        speakers, dropped_utterances = (len(dropped(found.decisions, s)) for s in (Subject.SPEAKER, Subject.UTTERANCE))
        summary = (
            f"{counted(speakers, 'speaker')} invalid; "
            f"{dropped_utterances} of {counted(len(utterances), 'utterance')} dropped"
        )
        return [found.utterance_scores, found.speaker_scores, found.decisions], summary

    return Step(
        catalog=catalog,
        name="clean",
        settings=settings,
        code=CODE,
        reads=[UTTERANCES, (EMBEDDINGS, listener.name)],
        publishes=[(UTTERANCE_SCORES, "all"), (SPEAKER_SCORES, "all"), (DECISIONS, "clean")],
        compute=judge,
    )


def identities(pipeline: Pipeline, catalog: Catalog) -> Step:
    """Find labels that stand for one person."""
    listener, settings = encoder(pipeline), asdict(pipeline.identities)
    settings["min_same_person"] = listener.min_same_person

    def compare(step: Step) -> Result:
        utterances, vectors = embedded(pipeline, catalog)
        speakers = speaker_table(catalog.read(UTTERANCES))
        heard = as_decided(utterances, decided(catalog), speakers)
        stays = pc.is_in(utterances["utterance_id"], value_set=heard["utterance_id"].combine_chunks()).to_numpy()
        author = Author(rule="mean cosine, complete groups", step="identities", run_id=step.run_id)
        found, threshold = same_people(
            speakers,
            heard,
            vectors[stays],
            settings=pipeline.identities,
            min_same_person=listener.min_same_person,
            author=author,
        )
        people = len(found.identities["identity_id"].unique())
        merged = pc.sum(pc.equal(found.decisions["verdict"], Verdict.MERGE)).as_py() or 0
        apart = len(found.decisions) - merged
        summary = (
            f"{counted(len(speakers), 'label')} of {counted(people, 'person', 'people')}; "
            f"{counted(merged, 'pair')} merged, {counted(apart, 'similar one')} kept apart; {threshold}"
        )
        return [found.speaker_pairs, found.identities, found.decisions], summary

    return Step(
        catalog=catalog,
        name="identities",
        settings=settings,
        code=CODE,
        reads=[UTTERANCES, (EMBEDDINGS, listener.name), *deciding(catalog)],
        publishes=[(SPEAKER_PAIRS, "all"), (IDENTITIES, "all"), (DECISIONS, "identities")],
        compute=compare,
    )


def ages(pipeline: Pipeline, catalog: Catalog) -> Step:
    """Label every utterance with its age group."""

    def tell(step: Step) -> Result:
        utterances = catalog.read(UTTERANCES).sort_by("utterance_id")
        rows = label_ages(relabelled(utterances, decided(catalog), speaker_table(utterances)), pipeline.ages.schemes)
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
