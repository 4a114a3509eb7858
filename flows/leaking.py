"""What an audit of leakage looks at in a catalog: who and what is heard, what reviewers said, lists of names.

The step `leakage` of a run, `curate build` and `curate audit leakage` look at the same.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain

import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.leakage import NAMED, Allowed, Voices, leaks
from curate import whole
from curate.blocks import read_vectors
from curate.catalog import Catalog, num_rows_of, rows_of
from curate.corpora import READERS
from curate.decisions import REVIEW
from curate.errors import CorpusError
from curate.exclusions import Exclusions, read_exclusions
from curate.labels import Columns, columns_of
from curate.marks import Marks, Prints
from curate.reasons import Verdict
from curate.reviewed import pairs_of
from curate.runs import last_done
from curate.schema import (
    CALIBRATIONS,
    CORPORA,
    DECISIONS,
    EMBEDDINGS,
    IDENTITIES,
    LEAKS,
    RUNS,
    SOUND_PRINTS,
    SPLITS,
    Table,
)
from curate.sides import Pair, ordered
from curate.speakers import VIETSV_MIN_SIMILARITY
from curate.storage import location

log = logging.getLogger("voxcurate")  # the command line shows it
OF_SPLITS = ["utterance_id", "identity_id", "split"]
HEARD = (EMBEDDINGS, SOUND_PRINTS)


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What the catalog's extractor heard, to be read when it is needed; and from when on two voices are one."""

    vectors: Voices | None
    sound_prints: Prints | None
    threshold: dict[str, float] | float | None  # as the corpora told it, else as it was given
    apart: set[Pair]  # identities that reviewers keep apart


def heard(catalog: Catalog, utterances: pa.Table) -> Heard:
    """Of a catalog without embeddings: nothing. `utterances` (speaker_id, identity_id) say whose each label is."""
    calibrations = read(catalog, CALIBRATIONS)
    said = pairs_of(catalog.read(DECISIONS, REVIEW)) if REVIEW in catalog.parts(DECISIONS) else {}
    labels = utterances.group_by(["speaker_id", "identity_id"]).aggregate([]) if said else utterances.slice(0, 0)
    person = dict(zip(*(labels[c].to_pylist() for c in ("speaker_id", "identity_id")), strict=True))
    kept_apart = [pair for pair, verdict in said.items() if verdict == Verdict.KEEP and {*pair} <= person.keys()]
    has = {table: any(num_rows_of(catalog.path(table, part)) for part in catalog.parts(table)) for table in HEARD}
    return Heard(
        vectors=partial(read_vectors, catalog, catalog.parts(EMBEDDINGS)) if has[EMBEDDINGS] else None,
        sound_prints=_prints(catalog) if has[SOUND_PRINTS] else None,
        threshold=dict(zip(calibrations["corpus"].to_pylist(), calibrations["threshold"].to_pylist(), strict=True))
        or given_threshold(catalog),
        apart={ordered(person[one], person[other]) for one, other in kept_apart},
    )


def _prints(catalog: Catalog) -> Prints:
    def landmarks() -> Marks:
        parts = (catalog.batches(SOUND_PRINTS, one, ["landmarks"]) for one in catalog.parts(SOUND_PRINTS))
        return Marks.read(chain.from_iterable(parts), catalog.scratch)

    return Prints(columns=lambda columns: catalog.read(SOUND_PRINTS, columns=columns), landmarks=landmarks)


def read(catalog: Catalog, table: Table) -> pa.Table:
    """All parts; no row where there is none."""
    return catalog.read(table) if catalog.parts(table) else rows_of(table, [])


def measured(
    catalog: Catalog,
    name: str,
    *,
    lists: Mapping[str, Exclusions] | None = None,
    allowed: Allowed = frozenset(),
) -> pa.Table:
    """LEAKS of a benchmark of this catalog, from all that its tables tell.

    Raises CatalogError where the catalog was not filled, CorpusError for a list that names nothing in it.
    """
    utterances = columns_of(catalog, with_dropped=True)
    sound = heard(catalog, with_identity(utterances(["speaker_id"]), catalog.read(IDENTITIES)))
    return shared(name, catalog.read(SPLITS, name, columns=OF_SPLITS), utterances, sound, lists=lists, allowed=allowed)


def shared(
    name: str,
    splits: pa.Table,
    utterances: Columns,
    sound: Heard,
    *,
    lists: Mapping[str, Exclusions] | None,
    allowed: Allowed,
) -> pa.Table:
    """LEAKS of splits that need not be published yet."""
    return leaks(
        name,
        splits,
        utterances,
        sound_prints=sound.sound_prints,
        vectors=sound.vectors,
        lists=lists,
        allowed=allowed,
        threshold=sound.threshold,
        apart=sound.apart,
    )


def given_threshold(catalog: Catalog) -> float | None:
    """How alike one person is where no corpus told it: as the pipeline file or the encoder has it, if either does."""
    rows = last_done(catalog) if catalog.parts(RUNS) else []
    noted = [json.loads(row["settings"]) for row in rows if row["step"] == "identities"]
    if not noted:
        return None
    asked = noted[-1]["min_similarity"]
    if isinstance(asked, str):
        asked = VIETSV_MIN_SIMILARITY if asked == "vietsv" else noted[-1]["min_same_person"]
    return None if asked is None else float(asked)


def with_identity(utterances: pa.Table, identities: pa.Table) -> pa.Table:
    """With the person of each label; null where the label has none."""
    place = pc.index_in(utterances["speaker_id"], value_set=identities["speaker_id"].combine_chunks())
    person = identities["identity_id"].combine_chunks().take(place.combine_chunks())
    return utterances.append_column("identity_id", person)


def allowed_before(catalog: Catalog, name: str) -> Allowed:
    """What the benchmark's own LEAKS say that its protocol allows; nothing where it has none."""
    if name not in catalog.parts(LEAKS):
        return frozenset()
    rows = catalog.read(LEAKS, name).to_pylist()
    return frozenset((row["check"], row["side"], row["other_side"]) for row in rows if row["is_allowed"])


def lists_against(catalog: Catalog, name: str, against: list[str]) -> tuple[dict[str, Exclusions], Allowed]:
    """The lists by their files, and which splits may have what they name: those that a `SPLIT=` before does not say.

    Raises CorpusError for a list that cannot be read, and for what is neither `SPLIT=FILE` nor a file.
    """
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


def aliases_of(catalog: Catalog) -> dict[str, str]:
    """What else speakers are called, as far as the roots of the corpora tell: lists of others go by such names."""
    aliases: dict[str, str] = {}
    for row in catalog.read(CORPORA).to_pylist():
        reader = READERS[row["reader"]]
        if hasattr(reader, "aliases"):
            try:
                root = location(row["root"])
                settings = reader.Settings(reader=row["reader"], name=row["corpus"], root=root)
                aliases |= reader.aliases(root, settings)
            except (CorpusError, OSError) as error:
                log.info(f"{row['corpus']}: other names of its speakers are not known ({error})")
    return aliases
