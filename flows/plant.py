"""The command `curate plant`. Only what it says stands here: what it does is imported when it is called."""

from pathlib import Path
from typing import Annotated

import typer


def plant(
    pipeline: Annotated[Path, typer.Argument(help="The pipeline file whose catalog is planted into; it is only read.")],
    to: Annotated[Path, typer.Option(help="The planted folder, a catalog of its own; must not be there.")],
    wrong_speaker: Annotated[float, typer.Option(help="Share of utterances under a wrong label.")] = 0.0,
    wrong_speaker_to: Annotated[str, typer.Option(help="Whose: uniform, same_sex or nearest.")] = "uniform",
    foreign_session: Annotated[float, typer.Option(help="Share of labels with a session of somebody else.")] = 0.0,
    mixed: Annotated[float, typer.Option(help="Share of labels that hold several people.")] = 0.0,
    mixed_parts: Annotated[str, typer.Option(help="Their shares, such as 0.8,0.2 or 0.34,0.33,0.33.")] = "0.5,0.5",
    split: Annotated[float, typer.Option(help="Share of labels that are divided into two.")] = 0.0,
    split_to: Annotated[str, typer.Option(help="Where the second is: same_corpus or other_corpus.")] = "same_corpus",
    wrong_sex: Annotated[float, typer.Option(help="Share of labels that say the other sex.")] = 0.0,
    wrong_age: Annotated[float, typer.Option(help="Share of labels whose ages are 15 to 40 years off.")] = 0.0,
    noise: Annotated[float, typer.Option(help="Share of utterances with white noise.")] = 0.0,
    tones: Annotated[float, typer.Option(help="Share of utterances with music-like tones.")] = 0.0,
    snr_db: Annotated[float, typer.Option(help="What the speech has over noise and tones.")] = 0.0,
    clipping: Annotated[float, typer.Option(help="Share of utterances that clip.")] = 0.0,
    clipping_db: Annotated[float, typer.Option(help="By how much their peaks go beyond full scale.")] = 30.0,
    silence: Annotated[float, typer.Option(help="Share of utterances in which nobody speaks.")] = 0.0,
    duplicate: Annotated[float, typer.Option(help="Share of utterances that are there twice.")] = 0.0,
    duplicate_by: Annotated[
        str, typer.Option(help="In what the second differs: any of gain,resampling,codec,offset.")
    ] = "gain,resampling,codec,offset",
    duplicate_under: Annotated[str, typer.Option(help="Whose it is: same_speaker or other_speaker.")] = "same_speaker",
    seed: Annotated[int, typer.Option(help="Another seed plants elsewhere.")] = 0,
    evaluate: Annotated[bool, typer.Option("--evaluate", help="Clean it, and say what was found.")] = False,
    preset: Annotated[list[str] | None, typer.Option(help="robust or vietsv, or several; else the file's.")] = None,
    levels: Annotated[str, typer.Option(help="Plant at each of these shares, such as 0.05,0.1,0.2,0.3.")] = "",
    seeds: Annotated[int, typer.Option(min=1, help="Plant with so many seeds, from `--seed` on.")] = 1,
) -> None:
    """Plant faults into a copy of a catalog, and say what is found.

    The copy is a catalog of its own with a truth table, against which rules of cleaning are held.

    Example: curate plant examples/real.toml --to build/planted --wrong-speaker 0.1 --evaluate
    """
    from benchmarks.planting.faults import Planting
    from curate.catalog import Catalog
    from curate.config import load_pipeline
    from flows import planting
    from flows.cli import show_progress

    show_progress()
    asked = Planting(
        seed=seed,
        mixed=mixed,
        mixed_parts=_numbers("--mixed-parts", mixed_parts),
        foreign_session=foreign_session,
        split=split,
        split_to=split_to,
        wrong_sex=wrong_sex,
        wrong_age=wrong_age,
        wrong_speaker=wrong_speaker,
        wrong_speaker_to=wrong_speaker_to,
        noise=noise,
        tones=tones,
        clipping=clipping,
        silence=silence,
        snr_db=snr_db,
        clipping_db=clipping_db,
        duplicate=duplicate,
        duplicate_by=tuple(filter(None, duplicate_by.split(","))),
        duplicate_under=duplicate_under,
    )
    read = load_pipeline(pipeline)
    with Catalog(read.catalog).as_one():
        given = planting.source(pipeline, read)
    told = planting.plant_and_tell(
        given,
        asked,
        to,
        presets=(preset or [read.cleaning.preset]) if evaluate else [],
        levels=_numbers("--levels", levels),
        num_seeds=seeds,
    )
    typer.echo(told)


def _numbers(option: str, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(",") if part)
    except ValueError:
        raise typer.BadParameter(f"{option} {text!r}; expected numbers with commas between them") from None
