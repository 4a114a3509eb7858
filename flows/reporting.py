"""Write the report on a catalog: the folder appears whole or not at all."""

from pathlib import Path

from curate.catalog import Catalog, rename_durably
from curate.explain import counted
from curate.export.writing import here, refuse_taken, refuse_within, sync_all, unfinished


def write_report(catalog: Catalog, out: Path, benchmark: str | None = None) -> str:
    """Write the folder, and say in one line what it holds.

    Raises ExportError where something is at `out` or it is within the catalog, CatalogError where there is no catalog,
    or no such benchmark.
    """
    out = here(out)
    refuse_taken(out)
    refuse_within(out, catalog)
    from pages.report.material import gathered
    from pages.report.picture import Picture
    from pages.report.sheets import PAGE, write

    with catalog.as_one():
        material = gathered(catalog, benchmark)
    with unfinished(out, "report") as folder:
        found = write(material, folder)
        sync_all(folder)
        if out.exists():
            out.rmdir()  # empty, or this fails
        rename_durably(folder, out)
    num = sum(isinstance(one, Picture) for one in found)
    left = f"; {len(found) - num} left out, the page says why" if num < len(found) else ""
    return f"{out / PAGE}: {counted(num, 'picture')}{left}"
