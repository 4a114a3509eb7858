"""The utterances of a catalog under the labels that verdicts settled."""

from collections.abc import Callable, Iterable

import pyarrow as pa
import pyarrow.compute as pc

from curate.catalog import Catalog, read_batches
from curate.decisions import REVIEW, as_decided, relabelled
from curate.reasons import Verdict
from curate.schema import DECISIONS, UTTERANCES, Table
from curate.speakers import ABOUT_A_LABEL, speaker_table

Columns = Callable[[list[str]], pa.Table]  # these columns of a table, whose rows are always in the same order
CHANGING = ["subject", "subject_id", "other_id", "verdict", "reason", "step"]


def labelled(catalog: Catalog, columns: list[str] | None = None) -> pa.Table:
    """All of them, in their order, also those that are dropped; of all `columns` or these, which include speaker_id.

    Raises CatalogError where the catalog is not filled.
    """
    utterances = catalog.read(UTTERANCES, columns=columns)
    return relabelled(utterances, changes_of(catalog), labels_of(catalog))


def columns_of(catalog: Catalog, *, with_dropped: bool) -> Columns:
    """Columns of the utterances under settled labels, all or those that no verdict drops, in the order of the catalog.

    Each is read anew when it is asked for: of millions of rows not all is to be held. Raises as `labelled` does.
    """
    decisions, labels = changes_of(catalog), labels_of(catalog)
    decide = relabelled if with_dropped else as_decided

    def read_columns(columns: list[str]) -> pa.Table:
        asked = dict.fromkeys(["utterance_id", "speaker_id", *columns])  # by which verdicts are joined
        return decide(catalog.read(UTTERANCES, columns=[*asked]), decisions, labels).select(columns)

    return read_columns


def changes_of(catalog: Catalog) -> pa.Table:
    """The `changes` of all decisions. Raises CatalogError where there are none yet."""
    parts = catalog.parts(DECISIONS)
    if not parts:
        catalog.read(DECISIONS)  # which tells that there are none
    return changes(catalog, ((DECISIONS, part) for part in parts))


def changes(catalog: Catalog, parts: Iterable[tuple[Table, str]]) -> pa.Table:
    """Those of these decisions that drop or move what they are about, and all of reviewers, without their figures.

    What is left depends on no others, and nearly all verdicts of a catalog keep an utterance.
    """
    decides = (pc.field("verdict") != Verdict.KEEP) | (pc.field("step") == REVIEW)
    found = [DECISIONS.arrow().empty_table().select(CHANGING)]
    for part in parts:
        for batch in read_batches(catalog.path(*part), CHANGING):
            found.append(pa.Table.from_batches([batch]).filter(decides))
    return pa.concat_tables(found)


def labels_of(catalog: Catalog) -> pa.Table:
    """One row a speaker of the catalog, and what is said of it."""
    return speaker_table(catalog.read(UTTERANCES, columns=ABOUT_A_LABEL))
