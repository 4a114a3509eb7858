"""The command `curate score`. Only what it says stands here: what it does is imported when it is called."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from curate.storage import location
from flows.options import CatalogOption

if TYPE_CHECKING:
    import pyarrow as pa

    from curate.catalog import Catalog
    from curate.similarity import Vectors
    from flows.systems import Beginnings

BACK_ENDS = ("cosine", "lda", "plda", "lda-plda")
COHORTS = ("people", "utterances")
FIRST = ("both", "test")


def score(
    benchmark: Annotated[str, typer.Argument(help="A benchmark of the catalog: the pipeline's, or a built one.")],
    catalog: CatalogOption = Path("catalog"),
    lists: Annotated[list[str] | None, typer.Option("--list", help="A list of trials; repeatable; else all.")] = None,
    extractor: Annotated[str | None, typer.Option(help="Whose vectors, where the catalog has several.")] = None,
    backend: Annotated[str, typer.Option(help=f"{', '.join(BACK_ENDS)}.")] = "cosine",
    center: Annotated[
        bool | None,
        typer.Option("--center/--no-center", help="Take off the training mean; else done with LDA and PLDA."),
    ] = None,
    dimensions: Annotated[int, typer.Option(min=1, help="That LDA leaves.")] = 100,
    train_split: Annotated[str, typer.Option(help="From which mean, LDA and PLDA are learnt.")] = "train",
    as_norm: Annotated[
        int | None,
        typer.Option(
            min=2, help="AS-norm by so many highest scores of the cohort: of people, unless --cohort-of utterances."
        ),
    ] = None,
    cohort: Annotated[str, typer.Option(help="The split of the cohort; its people in the trials are left out.")] = (
        "train"
    ),
    cohort_of: Annotated[str, typer.Option(help="people, by the mean of each, or utterances.")] = "people",
    calibrate_on: Annotated[
        str | None, typer.Option(metavar="LIST", help="Make scores log-likelihood ratios, learnt from this list.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write the scores of the list as Parquet.", parser=location, metavar="FILE")
    ] = None,
    first_s: Annotated[
        float | None, typer.Option(help="Hear the first so many seconds of utterances alone; needs --pipeline.")
    ] = None,
    first_of: Annotated[
        str, typer.Option(help="both, or test: there enrolment is heard whole. Goes with --first-s.")
    ] = "both",
    pipeline: Annotated[Path | None, typer.Option(help="The pipeline file of the catalog: its encoder hears.")] = None,
) -> None:
    """Score lists of a benchmark by the catalog's vectors.

    The figures that its protocol asks for are published in the catalog's table `results`.

    Example: curate score real -c catalogs/real --backend lda-plda --dimensions 10
    """
    closed = (("--backend", backend, BACK_ENDS), ("--cohort-of", cohort_of, COHORTS), ("--first-of", first_of, FIRST))
    for option, given, known in closed:
        if given not in known:
            raise typer.BadParameter(f"{option} {given!r}; expected one of {', '.join(known)}")
    if first_s is not None and (pipeline is None or first_s <= 0):
        raise typer.BadParameter(f"--first-s {first_s:g}; expected seconds above 0, and `--pipeline FILE` beside it")
    from curate.catalog import open_catalog
    from flows.cli import show_progress
    from flows.scoring import extractor_of, require_catalog, score_lists
    from flows.systems import System

    show_progress()
    opened = open_catalog(catalog)
    require_catalog(opened)
    system = System(
        extractor=extractor_of(opened, extractor),
        backend=backend,  # type: ignore[arg-type]  # one of BACK_ENDS
        center=backend != "cosine" if center is None else center,
        dimensions=dimensions,
        train_split=train_split,
        as_norm=as_norm,
        cohort=cohort,
        cohort_of=cohort_of,  # type: ignore[arg-type]  # one of COHORTS
        calibrate_on=calibrate_on,
        first_s=first_s,
        first_of="both" if first_s is None else first_of,  # type: ignore[arg-type]  # one of FIRST
    )
    hears = None if pipeline is None or first_s is None else _hearing(pipeline, opened, system.extractor)
    for line in score_lists(opened, benchmark, system, lists=lists or [], out=out, beginnings=hears):
        typer.echo(line)


def _hearing(pipeline_file: Path, catalog: "Catalog", extractor: str) -> "Beginnings":
    """What hears beginnings as the pipeline's encoder heard the whole; the encoder is loaded when something is asked.

    Raises PipelineError where the file's encoder is not the extractor, CatalogError where the catalog was heard
    otherwise.
    """
    from curate.config import load_pipeline
    from curate.errors import PipelineError
    from curate.hearing import name_of
    from flows.audit import heard_by

    pipeline = load_pipeline(pipeline_file)
    if name_of(pipeline.embedding) != extractor:
        raise PipelineError(
            f"{pipeline_file}: its encoder is {name_of(pipeline.embedding)!r}; expected {extractor!r}, whose vectors "
            "are scored"
        )
    heard_by(pipeline, catalog)

    def hear(utterance_ids: "pa.Array", seconds: float) -> "Vectors":
        from flows.beginnings import beginnings

        return beginnings(pipeline, catalog, utterance_ids, seconds)

    return hear
