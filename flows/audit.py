"""The commands `curate audit ...`: what a reader asks of a benchmark before believing it. Catalogs are only read."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.leakage import leakage

if TYPE_CHECKING:
    import pyarrow as pa

    from benchmarks.circularity import Circularity
    from curate.catalog import Catalog
    from curate.config import Pipeline
    from curate.hearing import Hearing

audit = typer.Typer(
    help="What a reader asks of a benchmark before believing it.", no_args_is_help=True, rich_markup_mode=None
)
ABOUT_A_TEST = ["utterance_id", "session_id", "sex", "corpus", "path"]  # columns of its utterances, and SAME_AUDIO
SAME_AUDIO = ("content_sha256", "channel", "start_s", "speaker_id")  # of an id, or it is not the same utterance


@audit.callback()
def group() -> None:
    """A group, however many commands it has."""


audit.command()(leakage)


@audit.command()
def circularity(
    pipeline: Annotated[Path, typer.Argument(help="The pipeline file whose benchmark is audited; it has been run.")],
    judge: Annotated[Path, typer.Option(help="One over the same corpora with another encoder; it has been run, too.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print every figure as JSON.")] = False,
) -> None:
    """Say how far a benchmark flatters the encoder that cleaned it.

    By the ears of another encoder, whose catalog is the judge.

    Example: curate audit circularity examples/real.toml --judge my-judge.toml
    """
    import json
    from contextlib import ExitStack

    from benchmarks.circularity import AUDITED, JUDGE
    from benchmarks.circularity_report import as_json as plain
    from benchmarks.circularity_report import as_text
    from curate.catalog import open_catalog
    from curate.config import load_pipeline

    audited, judging = load_pipeline(pipeline), load_pipeline(judge)
    with ExitStack() as until_read:
        for root in sorted({audited.catalog, judging.catalog}, key=str):  # in one order, or two audits could wait for
            until_read.enter_context(open_catalog(root).as_one())  # each other
        found, num_test = measured(audited, judging)
    names = {AUDITED: in_words(audited.embedding), JUDGE: in_words(judging.embedding)}
    if as_json:
        head = {"benchmark": audited.name, "systems": names, "num_test_utterances": num_test}
        typer.echo(json.dumps(head | plain(found), indent=1, ensure_ascii=False))
        return
    share = f"{found.num_utterances} of its {num_test} utterances ({found.num_utterances / num_test:.1%})"
    typer.echo(f"{audited.name}: a test of {found.num_people} people, {share} in both catalogs.\n")
    typer.echo(as_text(found, names))


def in_words(hearing: "Hearing") -> str:
    """The encoder, and what it hears of an utterance."""
    from curate.hearing import name_of

    part = {"whole": "", "first": f"first {hearing.part_s:g} s", "windows": f"windows of {hearing.part_s:g} s"}
    speech = "" if hearing.speech == "all" else f"speech by {hearing.speech}"
    return ", ".join(filter(None, [name_of(hearing), part[hearing.part], speech]))


def measured(pipeline: "Pipeline", judging: "Pipeline") -> "tuple[Circularity, int]":
    """What the audit found, and how many utterances the test had before cleaning, compared or not.

    Raises CatalogError where a catalog was not filled or the judge's holds other utterances, ExtractorError where both
    were heard alike, PipelineError where too little of the test can be compared for a trial.
    """
    from dataclasses import asdict

    import numpy as np
    import pyarrow.compute as pc

    from benchmarks.circularity import AUDITED, JUDGE, SYSTEMS, Rule
    from benchmarks.circularity import audit as measure
    from benchmarks.metrics import Costs
    from benchmarks.scoring import cosine_scores
    from benchmarks.trials import make_trials
    from curate.catalog import open_catalog
    from curate.errors import CatalogError
    from curate.hearing import name_of
    from curate.schema import IDENTITIES, SPLITS
    from curate.similarity import unit
    from flows import seeds
    from flows.leaking import with_identity
    from flows.steps import ABOUT_A_PAIR, COST_KEYS, sides_of
    from flows.systems import vectors_of

    given = {AUDITED: pipeline, JUDGE: judging}
    catalogs = {system: open_catalog(one.catalog) for system, one in given.items()}
    require_other_ears(given[AUDITED], catalogs[AUDITED], given[JUDGE], catalogs[JUDGE])
    identities = catalogs[AUDITED].read(IDENTITIES)
    splits = catalogs[AUDITED].read(SPLITS, pipeline.name, columns=["utterance_id", "identity_id", "split"])
    of_test = splits.filter(pc.field("split") == "test").select(["utterance_id", "identity_id"])
    labels = identities.filter(pc.is_in(identities["identity_id"], value_set=of_test["identity_id"].combine_chunks()))
    heard = heard_among(given[AUDITED], catalogs[AUDITED], "speaker_id", labels["speaker_id"])
    test = with_identity(unsettled(catalogs[AUDITED], heard), identities)
    heard = heard_among(given[JUDGE], catalogs[JUDGE], "utterance_id", test["utterance_id"])
    uncleaned = unsettled(catalogs[JUDGE], heard)
    cleaned = {AUDITED: of_test, JUDGE: with_identity(left(catalogs[JUDGE], heard), identities)}
    compared = test.filter(pc.is_in(test["utterance_id"], value_set=uncleaned["utterance_id"].combine_chunks()))
    if not len(compared):
        raise CatalogError(
            f"{judging.catalog}: holds none of the {len(test)} test utterances of {pipeline.catalog}; expected the "
            "same corpora under the same names"
        )
    require_same_audio(compared, uncleaned, judging)
    settings = asdict(pipeline.trials)
    p_target, miss, false_accept = (settings.pop(key) for key in COST_KEYS)
    trials = make_trials(
        compared.select([*ABOUT_A_PAIR, "identity_id"]),
        benchmark=pipeline.name,
        **settings,
        rng=np.random.default_rng([pipeline.seed, seeds.TRIALS]),  # as the step `trials` draws
    )

    def scored(system: str) -> "np.typing.NDArray[np.float64]":
        listener = name_of(given[system].embedding)
        ids, vectors = vectors_of(catalogs[system], listener, sides_of(trials))
        return cosine_scores(trials, ids, unit(vectors, overwrite=True))

    found = measure(
        compared,
        trials,
        {system: scored(system) for system in SYSTEMS},
        cleaned,
        rule=Rule(**{key: settings[key] for key in ("cross_session_targets", "same_sex_nontargets")}),
        costs=Costs(p_target=p_target, miss=miss, false_accept=false_accept),
        rng=np.random.default_rng([pipeline.seed, seeds.AUDIT]),
    )
    return found, len(test)


def heard_among(pipeline: "Pipeline", catalog: "Catalog", column: str, values: "pa.ChunkedArray") -> "pa.Table":
    """The utterances with one of these values that have a vector, in the order of ids; read corpus by corpus."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from curate.hearing import name_of
    from curate.schema import EMBEDDINGS, UTTERANCES

    ids = catalog.read(EMBEDDINGS, name_of(pipeline.embedding), columns=["utterance_id"])["utterance_id"]
    found = []
    for corpus in catalog.parts(UTTERANCES):
        rows = catalog.read(UTTERANCES, corpus, columns=sorted({*ABOUT_A_TEST, *SAME_AUDIO}))
        rows = rows.filter(pc.is_in(rows[column], value_set=values.combine_chunks()))
        found.append(rows.filter(pc.is_in(rows["utterance_id"], value_set=ids.combine_chunks())))
    return pa.concat_tables(found).sort_by("utterance_id")


def unsettled(catalog: "Catalog", utterances: "pa.Table") -> "pa.Table":
    """Those that are left by all steps but cleaning and its review, under the labels of the corpora."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from curate.decisions import REVIEW, kept, settled
    from curate.labels import changes
    from curate.schema import DECISIONS

    verdicts = settled(changes(catalog, ((DECISIONS, part) for part in catalog.parts(DECISIONS))))
    is_cleaning = pc.is_in(verdicts["step"], value_set=pa.array(["clean", REVIEW]))
    return kept(utterances, verdicts.filter(pc.invert(is_cleaning)))


def left(catalog: "Catalog", utterances: "pa.Table") -> "pa.Table":
    """Those that are left by all steps, under the labels that they were given."""
    from curate.decisions import as_decided
    from curate.labels import changes
    from curate.schema import DECISIONS

    decisions = changes(catalog, ((DECISIONS, part) for part in catalog.parts(DECISIONS)))
    return as_decided(utterances.select(["utterance_id", "speaker_id"]), decisions, utterances.select(["speaker_id"]))


def require_other_ears(pipeline: "Pipeline", catalog: "Catalog", judging: "Pipeline", other: "Catalog") -> None:
    """Raises ExtractorError where the judge has heard as the audited encoder has."""
    from curate.errors import ExtractorError

    if heard_by(pipeline, catalog) == heard_by(judging, other):
        raise ExtractorError(
            f"{other.root}: heard by the encoder that cleaned {catalog.root} ({in_words(judging.embedding)}); expected "
            "another encoder, or another `part` or `speech` of it"
        )


def heard_by(pipeline: "Pipeline", catalog: "Catalog") -> str:
    """The fingerprint of the encoder whose vectors the catalog holds.

    Raises CatalogError where it holds none of the pipeline's, or was heard otherwise than the pipeline file has it now.
    """
    import json
    from dataclasses import asdict

    from curate.errors import CatalogError
    from curate.hearing import name_of
    from curate.runs import last_done

    name = name_of(pipeline.embedding)
    noted = {row["part"]: row["settings"] for row in last_done(catalog) if row["step"] == "embed"}
    if name not in noted:
        raise CatalogError(f"{catalog.root}: not heard by {name}; expected a catalog that `curate run` has filled")
    held: dict[str, object] = json.loads(noted[name])
    for key, value in asdict(pipeline.embedding).items():
        if held.get(key, value) != value:
            raise CatalogError(
                f"{catalog.root}: heard with {key} {held[key]!r}, not {value!r} as the pipeline file has it now; "
                "expected `curate run` to be done again"
            )
    return str(held["fingerprint"])


def require_same_audio(compared: "pa.Table", held: "pa.Table", judging: "Pipeline") -> None:
    """Raises CatalogError where an id is of other audio or under another label in the judge's catalog."""
    import pyarrow.compute as pc

    from curate.errors import CatalogError

    place = pc.index_in(compared["utterance_id"], value_set=held["utterance_id"].combine_chunks())
    there = held.take(place.combine_chunks())
    for column in SAME_AUDIO:
        pairs = zip(compared[column].to_pylist(), there[column].to_pylist(), strict=True)
        other = [at for at, (one, another) in enumerate(pairs) if one != another]
        if other:
            example = compared["utterance_id"][other[0]]
            raise CatalogError(
                f"{judging.catalog}: {len(other)} test utterances have another {column} there, {example} for one; "
                "expected the same corpora"
            )
