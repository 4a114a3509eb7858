"""Judge speakers and utterances by the rule that the pipeline file names.

The robust rule takes what it knows from the utterances that it judges, so corpora that are large enough to tell are
judged one by one: single digits over a telephone and read sentences are not alike in the same way, a recording is filed
under somebody else of its own corpus, and no verdict on it changes because another corpus was added. (Wrong labels
planted into FSDD, at 5 and 10 %: F1 0.87 and 0.95 by itself, 0.55 and 0.82 in one pool with LibriSpeech and EmoDB.)
Those too small for that are judged together.
"""

import numpy as np
import pyarrow as pa

from curate.codes import numbered
from curate.decisions import Author
from curate.errors import PipelineError
from curate.outliers import Cleaned, clean_vietsv
from curate.presets import Robust, VietSV
from curate.robust import clean_robust
from curate.similarity import Indices, Vectors

MIN_LABELS, MIN_UTTERANCES = 5, 200  # of a corpus that is judged by itself


def clean(
    utterances: pa.Table,
    vectors: Vectors,
    *,
    settings: Robust | VietSV,
    min_one_person: float | None,
    author: Author,
    overwrite: bool = False,
) -> Cleaned:
    """One verdict for every one of N `utterances` (utterance_id, corpus, speaker_id, session_id) with `vectors` (N, D).

    `min_one_person` is the extractor's own threshold, where somebody has measured it. Raises PipelineError where the
    rule needs it and nobody has, ValueError for a vector without direction. With `overwrite` vectors are brought to
    length one where they lie.
    """
    if isinstance(settings, Robust):
        judged = [
            clean_robust(*of_corpus, settings=settings, author=author, overwrite=overwrite)
            for of_corpus in (_of_rows(utterances, vectors, rows) for rows in judged_together(utterances))
        ]
        return Cleaned(
            utterance_scores=pa.concat_tables(one.utterance_scores for one in judged),
            speaker_scores=pa.concat_tables(one.speaker_scores for one in judged),
            decisions=pa.concat_tables(one.decisions for one in judged),
        )
    asked = settings.min_speaker_similarity
    least = min_one_person if asked == "extractor" else asked
    if least is None:
        raise PipelineError("cleaning.min_speaker_similarity: nobody has measured this encoder's; expected a cosine")
    return clean_vietsv(
        utterances,
        vectors,
        iqr_factor=settings.iqr_factor,
        min_speaker_similarity=float(least),
        author=author,
        overwrite=overwrite,
    )


def judged_together(utterances: pa.Table) -> list[Indices]:
    """The rows of each large corpus, in the order of their names, then those of all small ones; one list at least."""
    corpora, corpus = numbered(utterances["corpus"])
    labels, label = numbered(utterances["speaker_id"])
    first = np.full(len(labels), len(label))
    np.minimum.at(first, label, np.arange(len(label)))
    enough = np.bincount(corpus, minlength=len(corpora)) >= MIN_UTTERANCES
    enough &= np.bincount(corpus[first], minlength=len(corpora)) >= MIN_LABELS
    groups = [np.flatnonzero(corpus == large) for large in np.flatnonzero(enough)]
    small = np.flatnonzero(~enough[corpus])
    return [*groups, small] if len(small) or not groups else groups


def _of_rows(utterances: pa.Table, vectors: Vectors, rows: Indices) -> tuple[pa.Table, Vectors]:
    """Those of a corpus, which mostly lie side by side: no copy then."""
    if len(rows) and rows[-1] - rows[0] == len(rows) - 1:
        return utterances.slice(rows[0], len(rows)), vectors[rows[0] : rows[-1] + 1]
    return utterances.take(pa.array(rows)), vectors[rows]
