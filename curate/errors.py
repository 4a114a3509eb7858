"""What can go wrong through no fault of ours.

    VoxcurateError            the command line prints its message as one line and exits with 1, or 2 if it judges
    ├── PipelineError         the pipeline file               (also ValueError)
    ├── LocationError         the address of a place          (also ValueError)
    ├── CorpusError           a corpus, its files or metadata (also ValueError)
    │   └── DamagedAudioError a file that cannot be decoded, though it is the one that was scanned
    ├── CatalogError          the catalog folder              (also RuntimeError)
    ├── QueryError            a query                         (also ValueError)
    ├── PlantingError         what is to be planted           (also ValueError)
    ├── ReviewError           what a reviewer says            (also ValueError)
    ├── ExportError           what is asked of an export, or a published folder (also ValueError)
    ├── ListError             a list of trials, models, names or scores (also ValueError)
    ├── ScoringError          a system, or what it is to score (also ValueError)
    ├── TrainingError         a recipe, its data or a run     (also RuntimeError)
    └── ExtractorError        a speaker encoder               (also RuntimeError)

A message names the offender first and then what was expected, on one line.
"""

MAX_SHOWN = 80  # characters of a value in a message: it may be a megabyte


class VoxcurateError(Exception):
    """A fault in what we were given."""


def shown(value: object) -> str:
    """As Python writes it, on one line; of a long one the beginning."""
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


class PipelineError(VoxcurateError, ValueError):
    """The pipeline file asks for something impossible."""


class LocationError(VoxcurateError, ValueError):
    """An address of a place that we cannot work with."""


class CorpusError(VoxcurateError, ValueError):
    """A corpus is not what its reader expects."""


class DamagedAudioError(CorpusError):
    """The bytes are those that were scanned, and cannot be decoded."""


class CatalogError(VoxcurateError, RuntimeError):
    """The catalog lacks a table, or somebody else holds it."""


class QueryError(VoxcurateError, ValueError):
    """A query is not one that we answer."""


class ExportError(VoxcurateError, ValueError):
    """A form cannot hold what it is asked to, its place is taken, or what was published is not as it was."""


class ListError(VoxcurateError, ValueError):
    """A list that was given cannot be read, or what is to be listed has no name that fits a line."""


class ScoringError(VoxcurateError, ValueError):
    """A system cannot be learnt, or cannot score what it is asked to."""


class TrainingError(VoxcurateError, RuntimeError):
    """A system cannot be trained so, on this, or any further."""


class ExtractorError(VoxcurateError, RuntimeError):
    """A speaker encoder cannot be had or used."""
