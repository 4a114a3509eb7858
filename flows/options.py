"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

from curate.storage import location

# Folders, or addresses such as s3://bucket/catalog; arguments are told by what lies there.
PLACE, CATALOG, OUT = ({"parser": location, "metavar": name} for name in ("PLACE", "CATALOG", "OUT"))
CatalogOption = Annotated[
    Path, typer.Option("--catalog", "-c", envvar="VOXCURATE_CATALOG", help="The catalog.", **PLACE)
]
PerhapsCatalogOption = Annotated[
    Path | None, typer.Option("--catalog", "-c", envvar="VOXCURATE_CATALOG", help="Who speaks, and more.", **PLACE)
]
