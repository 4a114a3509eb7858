"""The commands of reviewers. Only what they say stands here: what they do is imported when they are called."""

import getpass
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from curate.errors import VoxcurateError
from curate.reasons import Subject, Verdict
from flows.options import CatalogOption

if TYPE_CHECKING:
    from curate.catalog import Catalog
    from curate.named import Review

ReviewerOption = Annotated[
    str | None,
    typer.Option("--reviewer", envvar="VOXCURATE_REVIEWER", help="Who says it; else the name of the login."),
]
NoteOption = Annotated[str | None, typer.Option("--note", help="Why, in the reviewer's words.")]
SubjectOption = Annotated[
    Subject | None, typer.Option("--subject", help="Which is meant, where an id is that of an utterance and a speaker.")
]


def decide(
    subject_id: Annotated[str | None, typer.Argument(metavar="ID", help="An utterance_id or a speaker_id.")] = None,
    verdict: Annotated[Verdict | None, typer.Argument(help="Of two speakers, keep is to keep them apart.")] = None,
    other: Annotated[
        str | None, typer.Argument(help="The second speaker, or the label that an utterance is relabelled to.")
    ] = None,
    catalog: CatalogOption = Path("catalog"),
    reviewer: ReviewerOption = None,
    note: NoteOption = None,
    subject: SubjectOption = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file",
            help="Many at once, all or none: CSV with the columns subject_id, verdict and, where "
            "there is one, other_id, subject, note; as `curate reviews --csv` prints them.",
        ),
    ] = None,
) -> None:
    """Say what shall stand in place of what the rules decided.

    Of an utterance, a speaker or a pair of speakers, and whatever the settings of the rules.

    Example: curate decide one/1688 merge two/1688 -c catalogs/mine --note "the same reader"
    """
    from curate.catalog import open_catalog
    from curate.named import Named, Review
    from curate.reviews import decide as say
    from curate.verdict_files import read_verdicts

    opened = open_catalog(catalog)
    if file is not None and (subject_id, verdict, other, subject) == (None, None, None, None):
        said = read_verdicts(file, opened, note)
    elif file is None and subject_id is not None and verdict is not None:
        named = Named(opened, [one for one in (subject_id, other) if one is not None])
        about = named.subject_of(subject_id, other, verdict, subject)
        said = [Review(subject=about, subject_id=subject_id, other_id=other, verdict=verdict, note=note)]
    else:
        raise typer.BadParameter("expected an ID and a VERDICT, or --file without them")
    who = name_of(reviewer)
    say(opened, who, said)
    _tell(who, said)
    for line in _of_two_sexes(opened, said):
        typer.echo(line, err=True)


def undo(
    subject_id: Annotated[str, typer.Argument(metavar="ID", help="An utterance_id or a speaker_id.")],
    other: Annotated[str | None, typer.Argument(help="The second speaker of a pair.")] = None,
    catalog: CatalogOption = Path("catalog"),
    reviewer: ReviewerOption = None,
    note: NoteOption = None,
    subject: SubjectOption = None,
) -> None:
    """Take back what was said, or a merge that a rule made.

    That is your own word, or, where none of yours stands, all that others said, or else the merge. What others said
    stands again once yours is taken back. One speaker is parted from all it was merged with.

    Example: curate undo one/1688 two/1688 -c catalogs/mine
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    from curate.catalog import open_catalog
    from curate.reviews import decide as say
    from curate.reviews import said as all_said
    from curate.reviews import standing, undone

    opened = open_catalog(catalog)
    said = [replace(one, note=note) for one in undone(opened, subject_id, other, asked=subject)]
    who = name_of(reviewer)
    ids = pa.array(sorted({one.subject_id for one in said}), pa.string())

    def stands() -> list[dict[str, Any]]:
        rows = standing(all_said(opened))
        words: list[dict[str, Any]] = rows.filter(pc.is_in(rows["subject_id"], value_set=ids)).to_pylist()
        return words

    stood = stands()
    say(opened, who, said)
    left = stands()
    _tell(who, said, of_others=[row for row in stood if row["reviewer"] != who and row not in left])


def reviews(
    catalog: CatalogOption = Path("catalog"),
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what stands of all that reviewers said.

    Example: curate reviews -c catalogs/mine
    """
    import pyarrow.compute as pc

    from curate import query as queries
    from curate.catalog import open_catalog
    from curate.reviews import said, standing

    if as_csv and as_json:
        raise typer.BadParameter("--csv and --json: expected one of them")
    names = ["subject", "subject_id", "verdict", "other_id", "reviewer", "said_at", "note"]
    stands = standing(said(open_catalog(catalog)))
    stands = stands.set_column(2, "said_at", pc.strftime(stands["said_at"], "%Y-%m-%dT%H:%M:%SZ"))
    rows = [tuple(row.values()) for row in stands.select(names).to_pylist()]
    form = queries.as_csv if as_csv else queries.as_json if as_json else queries.as_table
    typer.echo(form(names, rows))


def name_of(reviewer: str | None) -> str:
    """Who says it: as given, or else the login. Raises VoxcurateError where neither is a name."""
    from curate.reviews import composed

    try:
        return composed(getpass.getuser() if reviewer is None else reviewer)
    except (KeyError, OSError):
        raise VoxcurateError("reviewer: nobody is logged in; expected --reviewer, or VOXCURATE_REVIEWER") from None


def tell_out_of_date(catalog: "Catalog", *, builds: bool = True) -> None:
    """On standard error, before a command makes something of a catalog: what reviewers said since it was run.

    Of `builds` also which would be others now. Nothing where a writer broke off: the command itself refuses then, or is
    the `curate build` that mends it.
    """
    from curate.explain import not_applied
    from curate.schema import RUNS
    from flows.building import told_stale

    if catalog.broke_off():
        return
    with catalog.as_one():
        lines = not_applied(catalog)
        if builds and catalog.parts(RUNS):
            lines = [*told_stale(catalog), *lines]
    for line in lines:
        typer.echo(line, err=True)


def _of_two_sexes(catalog: "Catalog", said: "list[Review]") -> list[str]:
    """A line for each pair to be merged that its corpora say to be a woman and a man: taken, but perhaps a slip."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from curate.schema import UTTERANCES

    pairs = [one.pair for one in said if one.verdict == Verdict.MERGE]
    if not pairs:
        return []
    rows = catalog.read(UTTERANCES, columns=["speaker_id", "sex"])
    ours = pa.array(sorted({label for pair in pairs for label in pair}), pa.string())
    rows = rows.filter(pc.is_in(rows["speaker_id"], value_set=ours)).group_by("speaker_id")
    sexes = rows.aggregate([("sex", "min"), ("sex", "max")]).to_pylist()
    sex_of = {row["speaker_id"]: row["sex_min"] for row in sexes if row["sex_min"] == row["sex_max"]}  # not if both
    return [
        f"{one} is {sex_of[one]} and {other} {sex_of[other]}, as their corpora have it; the merge is taken all the "
        f"same, and `curate undo {quote(one)} {quote(other)} -c {quote(str(catalog.root))}` takes it back"
        for one, other in pairs
        if {sex_of.get(one), sex_of.get(other)} == {"female", "male"}
    ]


def _tell(reviewer: str, said: "list[Review]", of_others: Sequence[dict[str, Any]] = ()) -> None:
    """What was said, and the words of others that do not stand any more."""
    from curate.reviews import in_few_words

    told = "; ".join(in_few_words(asdict(one)) for one in said[:5])
    told += f"; and {len(said) - 5} more" if len(said) > 5 else ""
    again = any(one.verdict is None for one in said)
    then = "; where nothing else that was said stands, the rules decide again" if again else ""
    gone = "".join(f" {row['reviewer']} had said: {in_few_words(row)}." for row in of_others)
    typer.echo(f"{reviewer}: {told}. `curate run FILE` applies it{then}.{gone}")
