"""Bring a catalog of an earlier version of the schema to today's, and back.

    <root>/before/old/...          the files that change, as they were
    <root>/before/new/...          the same as they will be; moved to their places
    <root>/before/migration.json   the versions, whether it goes on or back, and the SHA-256 of every file
    <root>/before/begun            empty: the files beside it are a migration's, where no `migration.json` says so

Only parts whose columns differ from the schema change. They keep their fingerprints, since they say the same: no step
is done again for the sake of a migration. Drafts of a run that was cut off are brought along; blocks of embeddings and
what reviewers said are left where they are.

It happens in this order, all of it under the lock of the writer:

1. `begun`, `old` and `new` are written, then `migration.json`. A crash before that leaves the catalog as it was.
2. Each file of `new` is moved to its place, and `catalog.duckdb` is made again. The catalog is still said to be of the
   old version, so that nobody opens it; after a crash `migrate` ends what was begun, and `undo` takes it back.
3. `schema.json` says the new version.

`before` is cleared by a migration and by `undo`: where it holds a file that none of ours put there, neither is done.
Without `begun` and `migration.json`, that is any file.

`undo` says in `migration.json` that it goes back, takes `schema.json` away, copies `old` to its places, and removes
`before`; after a crash either command ends that first.
"""

import hashlib
import json
import re
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pyarrow as pa

from curate import lease, whole
from curate.catalog import Catalog, fingerprint_of, parquet_schema, read_batches, write_batches
from curate.conforming import conform
from curate.errors import CatalogError
from curate.explain import counted
from curate.query import write_database
from curate.schema import REVIEWS, TABLES, VERSION, Table
from curate.storage import is_local
from curate.turns import WRITER
from curate.versions import BEFORE, FILE, MIGRATION, require_current, say, version_of

# What rows of earlier versions have in columns that came later. One that may be null is null.
ADDED = {"trials": {"list": "test"}, "results": {"list": "test", "subset": "all"}}
DATABASE = "catalog.duckdb"
DRAFTS = "cache/draft/"
PART = re.compile(rf"({DRAFTS})?({'|'.join(TABLES)})/[^/\0]+\.parquet")
IN_BETWEEN = ""  # nobody's name is left by a migration that is killed: the version says that it was cut off
BEGUN = "begun"
KEPT = re.compile(rf"migration\.json|(old|new)/({PART.pattern})|old/catalog\.duckdb")  # beside `begun`
AT_ONCE = 2**20  # bytes that are read at a time


@dataclass(frozen=True, kw_only=True)
class Migration:
    """What `migration.json` says; of every file, by its place in the catalog, the SHA-256 before and after."""

    since: int
    to: int
    goes_back: bool
    has_database: bool
    before: dict[str, str]
    after: dict[str, str]

    @property
    def changed(self) -> list[str]:
        """The files that change, in order."""
        return sorted(file for file in self.before if self.before[file] != self.after[file])


def migrate(root: Path) -> str:
    """Bring the catalog to today's version, and say so; where it has that already, nothing is done.

    Raises CatalogError where there is no catalog, for one of a newer version, for a table that is none of ours, and
    where a catalog was written while its migration was cut off.
    """
    _require_known(root)
    with Catalog(root).locked_of_any_version():
        _end_what_was_begun(root)
        version = _require_known(root)
        if version == VERSION:
            return f"{root}: nothing to do, it is of version {VERSION}"
        planned = _prepared(root, version)
        _go_on(root, planned)
    return (
        f"{root}: from version {version} to {VERSION}, {counted(len(planned.changed), 'file')} changed; "
        f"`curate migrate {root} --undo` takes it back"
    )


def undo(root: Path) -> str:
    """Bring back the files as they were before the last migration, and say so.

    What reviewers said since stays said. Raises CatalogError where nothing was migrated, and where another table was
    written since: what that run or benchmark made would be lost.
    """
    _require_known(root)
    with Catalog(root).locked_of_any_version():
        begun = _begun(root)
        if begun is None:
            raise CatalogError(f"{root}: nothing to undo; expected a catalog that `curate migrate` changed")
        _require_own(root)
        if not begun.goes_back:
            _require_unchanged(root, begun)
            _require_kept(root / BEFORE / "old", {file: begun.before[file] for file in begun.changed})
            begun = replace(begun, goes_back=True)
            _write(root, begun)
        _go_back(root, begun)
    return f"{root}: of version {begun.since} again, {counted(len(begun.changed), 'file')} as before"


def _require_known(root: Path) -> int:
    """The version. Raises CatalogError where there is no catalog, or none yet, and for a version newer than ours."""
    version = version_of(root)
    if version is None and whole.exists(root / WRITER):
        raise CatalogError(
            f"{root}: no table is there yet, its first run is under way or was cut off; expected it to be run to its "
            f"end: that makes a catalog of version {VERSION}, which needs no migration"
        )
    if version is None:
        raise CatalogError(f"{root}: no catalog there; expected a folder that `curate run` has filled")
    if version > VERSION:
        require_current(root)
    return version


# --------------------------------------------------------------------------------------------------- what is to be done


def _prepared(root: Path, version: int) -> Migration:
    """Write what is to become current beside what it replaces, and then what is to be done."""
    _require_own(root)
    _clear(root)
    before = {file: _sha256(root / file) for file in _parts(root)}
    after = dict(before)
    for file in before:
        table, new = TABLES[Path(file).parent.name], root / BEFORE / "new" / file
        if not _is_of(table, parquet_schema(root / file)):
            _bring(table, root / file, new)
            whole.copy(root / file, root / BEFORE / "old" / file)
            after[file] = _sha256(new)
    has_database = whole.exists(root / DATABASE)
    if has_database:
        whole.copy(root / DATABASE, root / BEFORE / "old" / DATABASE)
    planned = Migration(
        since=version, to=VERSION, goes_back=False, has_database=has_database, before=before, after=after
    )
    _write(root, planned)
    whole.remove(root / BEFORE / BEGUN)
    return planned


def _clear(root: Path) -> None:
    """Leave `begun` alone in `before`: it is there until all else is gone, so that what a crash leaves is known."""
    whole.mark(root / BEFORE / BEGUN)
    if is_local(root):
        whole.sync(root / BEFORE)
    whole.remove(root / MIGRATION)  # before the others, as it promises what is beside it
    for file in whole.files_below(root / BEFORE):
        if file != BEGUN:
            whole.remove(root / BEFORE / file)


def _parts(root: Path) -> list[str]:
    """The parts of all tables, published and drafted, by their place in the catalog."""
    return [
        f"{above}{name}/{part}.parquet"
        for above in ("", DRAFTS)
        for name in sorted(whole.names(root / above) & TABLES.keys())
        for part in sorted(whole.stems(root / above / name, "parquet"))
    ]


def _is_of(table: Table, have: pa.Schema) -> bool:
    """Whether these are the columns of the table as it is today; a list of a fixed length is a list."""
    return have.names == table.arrow().names and all(
        one.nullable == today.nullable and (one.type == today.type or _is_fixed(one.type, today.type))
        for one, today in zip(have, table.arrow(), strict=True)
    )


def _is_fixed(have: pa.DataType, today: pa.DataType) -> bool:
    is_pair = pa.types.is_fixed_size_list(have) and pa.types.is_list(today)
    return bool(is_pair and have.value_type == today.value_type)


def _bring(table: Table, old: Path, new: Path) -> None:
    """Write the rows with the columns of today. Raises CatalogError where that cannot be told."""
    known, have = table.arrow(), parquet_schema(old)
    added = ADDED.get(table.name, {})
    strange = [name for name in have.names if name not in known.names]
    lacking = [c.name for c in table.columns if c.name not in [*have.names, *added] and not c.nullable]
    if strange or lacking:
        told = f"a column {strange[0]!r}" if strange else f"no column {lacking[0]!r}"
        raise CatalogError(
            f"{old}: {told}, as in no version that is known; expected {known.names}: take the file away, and "
            "`curate run` makes it anew"
        )

    def brought(rows: pa.Table) -> pa.Table:
        for field in known:
            if field.name not in have.names:
                rows = rows.append_column(
                    field.name, pa.repeat(pa.scalar(added.get(field.name), field.type), len(rows))
                )
        return conform(table, rows).combine_chunks()

    batches = (one for batch in read_batches(old) for one in brought(pa.Table.from_batches([batch])).to_batches())
    write_batches(new, brought(have.empty_table()).schema, batches, fingerprint_of(old) or "")


def _sha256(place: Path) -> str:
    digest = hashlib.sha256()
    with closing(place.open("rb") if is_local(place) else whole.reader(place)) as file:
        while content := file.read(AT_ONCE):
            digest.update(content)
    return digest.hexdigest()


# ------------------------------------------------------------------------------------------------------ there and back


def _go_on(root: Path, begun: Migration) -> None:
    """Make the new files current, then the version; what a crash left of it is ended the same way."""
    with Catalog(root).publishing(IN_BETWEEN):
        for file in begun.changed:
            lease.require_held(root)
            new = root / BEFORE / "new" / file
            if whole.exists(new):
                whole.move(new, root / file)
        whole.remove(root / DATABASE)  # its views know the columns that the tables had
        write_database(Catalog(root))
        say(root, begun.to)
    whole.remove_folder(root / BEFORE / "new")


def _go_back(root: Path, begun: Migration) -> None:
    """Make the old files current. What says that there is something to undo goes last."""
    old = root / BEFORE / "old"
    with Catalog(root).publishing(IN_BETWEEN):
        if begun.since == 1:
            whole.remove(root / FILE)
        else:
            say(root, begun.since)
        for file in begun.changed:
            lease.require_held(root)
            whole.copy(old / file, root / file)
        if begun.has_database and whole.exists(old / DATABASE):
            whole.copy(old / DATABASE, root / DATABASE)
        else:
            whole.remove(root / DATABASE)
    _clear(root)
    whole.remove_folder(root / BEFORE)


def _end_what_was_begun(root: Path) -> None:
    begun = _begun(root)
    if begun is None or (version_of(root) == begun.to and not begun.goes_back):
        return
    _require_own(root)
    if begun.goes_back:
        _go_back(root, begun)
    else:
        _require_unchanged(root, begun)
        waiting = [file for file in begun.changed if _sha256(root / file) != begun.after[file]]
        _require_kept(root / BEFORE / "new", {file: begun.after[file] for file in waiting})
        _go_on(root, begun)


def _require_unchanged(root: Path, begun: Migration) -> None:
    """Raises CatalogError where a table, but for what reviewers said, is neither as it was nor as it was to become."""
    there = {file: _sha256(root / file) for file in _parts(root)}
    for file in sorted(there.keys() | begun.before.keys()):
        if file.startswith(f"{REVIEWS.name}/") and file not in begun.changed:
            continue
        if file not in begun.before or there.get(file) not in (begun.before[file], begun.after[file]):
            raise CatalogError(
                f"{root / file}: written or taken away since the migration; expected the catalog as it was then, since "
                f"what came after would be lost (the files from before are in {root / BEFORE / 'old'})"
            )


def _require_kept(folder: Path, files: dict[str, str]) -> None:
    """Raises CatalogError where a file in `before` is not as the migration left it, before anything is moved there."""
    for file, digest in files.items():
        if not whole.exists(folder / file) or _sha256(folder / file) != digest:
            raise CatalogError(f"{folder / file}: changed or taken away; expected it as `curate migrate` wrote it")


def _require_own(root: Path) -> None:
    """Raises CatalogError where `before` holds what no migration puts there, since it is about to be taken away."""
    begun, is_marked = _begun(root), whole.read_bytes(root / BEFORE / BEGUN) == b""
    ours = {BEGUN} if is_marked else set()
    if begun is not None:
        ours |= {"migration.json", *(["old/catalog.duckdb"] if begun.has_database else [])}
        ours |= {f"{side}/{file}" for side in ("old", "new") for file in begun.changed}
    for file in whole.files_below(root / BEFORE):
        name = file.removesuffix(".new")  # what a kill left has that suffix
        if name not in ours and not (begun is None and is_marked and KEPT.fullmatch(name)):
            raise CatalogError(
                f"{root / BEFORE / file}: of no migration; expected it elsewhere, since `curate migrate` keeps what it "
                f"changes in {root / BEFORE}, and clears that folder"
            )


def _begun(root: Path) -> Migration | None:
    """What `migration.json` says. Raises CatalogError where it is no such file, or names what is no part of a table."""
    content = whole.read_bytes(root / MIGRATION)
    if content is None:
        return None
    try:
        begun = Migration(**json.loads(content))
        is_ours = begun.before.keys() == begun.after.keys() and all(map(PART.fullmatch, begun.before))
        is_ours = is_ours and type(begun.since) is type(begun.to) is int
    except (ValueError, TypeError, AttributeError, RecursionError):
        is_ours = False
    if not is_ours:  # its names are moved and copied: one that led out of the catalog would be, too
        raise CatalogError(f"{root / MIGRATION}: expected what `curate migrate` wrote there")
    return begun


def _write(root: Path, begun: Migration) -> None:
    whole.write_text(root / MIGRATION, json.dumps(asdict(begun), indent=1) + "\n")
