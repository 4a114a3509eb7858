"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

from curate.storage import location

PLACE = {"parser": location, "metavar": "PLACE"}  # a folder, or an address such as s3://bucket/catalog
CatalogOption = Annotated[
    Path, typer.Option("--catalog", "-c", envvar="VOXCURATE_CATALOG", help="The catalog.", **PLACE)
]
PerhapsCatalogOption = Annotated[
    Path | None, typer.Option("--catalog", "-c", envvar="VOXCURATE_CATALOG", help="Who speaks, and more.", **PLACE)
]
