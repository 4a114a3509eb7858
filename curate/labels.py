"""The utterances of a catalog under the labels that verdicts settled."""

import pyarrow as pa

from curate.catalog import Catalog
from curate.decisions import relabelled
from curate.schema import DECISIONS, UTTERANCES
from curate.speakers import speaker_table


def labelled(catalog: Catalog) -> pa.Table:
    """All of them, in their order, also those that are dropped. Raises CatalogError where the catalog is not filled."""
    utterances = catalog.read(UTTERANCES)
    return relabelled(utterances, catalog.read(DECISIONS), speaker_table(utterances))
