"""What a run reads in a split: word and character error rates, and what it wrote beside what was said.

<run>/tests/<benchmark>-<split>/texts.parquet   a row an utterance that has a transcript
"""

from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.class_results import TEXT, text_rows
from benchmarks.words import normalised
from curate.catalog import write_parquet
from curate.schema import CLASS_RESULTS
from flows import seeds
from models.data.crops import FileReader
from models.data.speech import Speech
from models.training.system import System
from models.training.validation import Validation

LONGEST_S = 60.0  # of an utterance that is read: whole, but for what memory cannot hold


def read(
    trained: System, speech: Speech, folder: Path, *, benchmark: str, split: str, system: str, seed: int
) -> tuple[pa.Table, list[str], list[Path]]:
    """Rows of CLASS_RESULTS, what must be said beside them, and the files; nothing of a system that does not read.

    Raises TrainingError where what it gives is not finite.
    """
    if trained.vocabulary is None:
        return CLASS_RESULTS.arrow().empty_table(), [], []
    texts = speech.transcripts or [None] * len(speech)
    rows = np.array([row for row, text in enumerate(texts) if text and normalised(text)], np.int64)
    remarks = []
    if len(rows) < len(speech):
        remarks.append(f"{TEXT}: {len(speech) - len(rows)} of {len(speech)} utterances left out: no transcript")
    if not len(rows):
        return CLASS_RESULTS.arrow().empty_table(), remarks, []
    some = speech.take(rows)
    said = [str(text) for text in some.transcripts]
    found = trained.vocabulary.encoded(said)
    if found.num_outside:
        remarks.append(f"{TEXT}: {found.num_outside} of {len(rows)} utterances with {found.strange}, which are errors")
    if num := int((some.duration_s > LONGEST_S).sum()):
        remarks.append(f"{TEXT}: {num} of {len(rows)} read to {LONGEST_S:g} s: what is said after that are errors")
    written = Validation(reader=FileReader(some), longest_s=LONGEST_S).written(trained)
    rng = np.random.default_rng([seed, seeds.INTERVALS, *f"classes of {TEXT}".encode()])
    figures = text_rows(said, written, some.person, benchmark, split, system, rng=rng)
    table = pa.table({"utterance_id": some.utterance_ids, "said": said, "written": written})
    write_parquet(folder / "texts.parquet", table)
    return figures, remarks, [folder / "texts.parquet"]
