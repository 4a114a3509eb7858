"""The command `curate audit leakage`, and what it looks at in a catalog. The catalog is only read."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from curate.storage import location

if TYPE_CHECKING:
    import pyarrow as pa

    from benchmarks.leakage import Allowed
    from curate.catalog import Catalog
    from curate.exclusions import Exclusions


def leakage(
    catalog: Annotated[
        Path,
        typer.Option(
            "--catalog", "-c", envvar="VOXCURATE_CATALOG", help="The catalog.", parser=location, metavar="PLACE"
        ),
    ] = Path("catalog"),
    benchmark: Annotated[str | None, typer.Option(help="Which one, where the catalog holds several.")] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[SPLIT=]FILE",
            help="A list of speakers, sessions or files, one a line, that no split, or this one, may have. May be "
            "given several times.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print every figure as JSON.")] = False,
) -> None:
    """Say what the splits of a benchmark share: people, labels, sessions, files, audio, transcripts, voices, names.

    Ends with exit code 1 where something leaks that the benchmark's protocol does not allow, with 0 where nothing does.

    Example: curate audit leakage -c catalogs/real --against train=voxceleb1_sitw_overlap.txt
    """
    import json

    from benchmarks.leakage_report import HEAD, LEAK, conclusion, does_leak, told
    from curate.catalog import Catalog
    from curate.export.chosen import benchmark_of
    from curate.query import as_table

    opened = Catalog(catalog)
    name = benchmark_of(opened, benchmark)
    lists, others = lists_of(opened, name, against or [])
    found = measured(opened, name, lists=lists, allowed=allowed_before(opened, name) | others)
    remarks = [one.remark for one in lists.values() if one.remark is not None]
    if as_json:
        checks = found.drop_columns(["benchmark"]).to_pylist()
        whole = {"benchmark": name, "leaks": does_leak(found), "conclusion": conclusion(found), "remarks": remarks}
        typer.echo(json.dumps(whole | {"checks": checks}, indent=1, ensure_ascii=False))
    else:
        rows = told(found)
        typer.echo(f"{name}\n")
        typer.echo(as_table(HEAD, [row.cells for row in rows]).rpartition("\n")[0])  # but for how many rows there are
        for row in (row for row in rows if row.status == LEAK):
            typer.echo("\n".join(["", f"{row.what} ({row.between}), such as:", *(f"  {one}" for one in row.examples)]))
        typer.echo("\n".join(["", *remarks, conclusion(found)]))
    if does_leak(found):
        raise typer.Exit(1)


def measured(
    catalog: "Catalog", name: str, *, lists: "Mapping[str, Exclusions] | None" = None, allowed: "Allowed" = frozenset()
) -> "pa.Table":
    """LEAKS of a benchmark of this catalog, from all that its tables tell.

    Raises CatalogError where the catalog was not filled, CorpusError for a list that names nothing in it.
    """
    from benchmarks.leakage import leaks
    from curate.decisions import relabelled
    from curate.schema import DECISIONS, IDENTITIES, SPLITS, UTTERANCES
    from curate.speakers import speaker_table
    from flows.audit import with_identity
    from flows.building import heard

    utterances = catalog.read(UTTERANCES)
    utterances = relabelled(utterances, catalog.read(DECISIONS), speaker_table(utterances))
    sound = heard(catalog, with_identity(utterances, catalog.read(IDENTITIES)))
    return leaks(
        name,
        catalog.read(SPLITS, name),
        utterances,
        sound_prints=sound.sound_prints,
        vectors=sound.vectors,
        lists=lists,
        allowed=allowed,
        threshold=sound.thresholds or given_threshold(catalog),
        apart=sound.apart,
    )


def given_threshold(catalog: "Catalog") -> float | None:
    """How alike one person is where no corpus told it: as the pipeline file or the encoder has it, if either does."""
    import json

    from curate.runs import last_done
    from curate.schema import RUNS
    from curate.speakers import VIETSV_MIN_SIMILARITY

    rows = last_done(catalog) if catalog.parts(RUNS) else []
    noted = [json.loads(row["settings"]) for row in rows if row["step"] == "identities"]
    if not noted:
        return None
    asked = noted[-1]["min_similarity"]
    if isinstance(asked, str):
        asked = VIETSV_MIN_SIMILARITY if asked == "vietsv" else noted[-1]["min_same_person"]
    return None if asked is None else float(asked)


def allowed_before(catalog: "Catalog", name: str) -> "Allowed":
    """What the benchmark's own LEAKS say that its protocol allows; nothing where it has none."""
    from curate.schema import LEAKS

    if name not in catalog.parts(LEAKS):
        return frozenset()
    rows = catalog.read(LEAKS, name).to_pylist()
    return frozenset((row["check"], row["side"], row["other_side"]) for row in rows if row["is_allowed"])


def lists_of(catalog: "Catalog", name: str, against: list[str]) -> "tuple[dict[str, Exclusions], Allowed]":
    """The lists by their files, and which splits may have what they name: those that a `SPLIT=` before does not say.

    Raises CorpusError for a list that cannot be read, and for what is neither `SPLIT=FILE` nor a file.
    """
    from benchmarks.leakage import NAMED
    from curate import whole
    from curate.errors import CorpusError
    from curate.exclusions import read_exclusions
    from curate.schema import SPLITS
    from flows.building import aliases_of

    if not against:
        return {}, frozenset()
    splits, aliases = set(catalog.read(SPLITS, name)["split"].unique().to_pylist()), aliases_of(catalog)
    found: dict[str, Exclusions] = {}
    asked: dict[str, set[str]] = {}
    for text in against:
        split, _, file = text.partition("=")
        if file and split not in splits and not whole.exists(location(text)):
            expected = ", ".join(sorted(splits))
            raise CorpusError(
                f"--against {text}: no split {split!r}; expected {expected}, or a file of that whole name"
            )
        without = {split} if split in splits else splits
        file = file if split in splits else text
        found[file] = read_exclusions(location(file), aliases)
        asked[file] = asked.get(file, set()) | without
    return found, frozenset((NAMED, split, file) for file, without in asked.items() for split in splits - without)
