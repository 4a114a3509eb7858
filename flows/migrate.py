"""The command `curate migrate`. Only what it says stands here: what it does is imported when it is called."""

from pathlib import Path
from typing import Annotated

import typer

from flows.options import CATALOG


def migrate(
    catalog: Annotated[Path, typer.Argument(help="The catalog.", **CATALOG)],
    undo: Annotated[bool, typer.Option("--undo", help="Bring the files back as they were before.")] = False,
) -> None:
    """Bring a catalog of an earlier version to that of this Voxcurate.

    What reviewers said stays. Files that change are kept in its folder `before`, which may be deleted by who will not
    undo. Where it was cut off, call it again, and it goes on. --undo is refused once a run has changed the catalog:
    what that made would be lost.

    Example: curate migrate catalogs/real
    """
    from curate import migration

    typer.echo((migration.undo if undo else migration.migrate)(catalog))
