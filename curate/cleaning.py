"""Judge speakers and utterances by the rule that the pipeline file names."""

import pyarrow as pa

from curate.decisions import Author
from curate.errors import PipelineError
from curate.outliers import Cleaned, clean_vietsv
from curate.presets import Robust, VietSV
from curate.robust import clean_robust
from curate.similarity import Vectors


def clean(
    utterances: pa.Table,
    vectors: Vectors,
    *,
    settings: Robust | VietSV,
    min_one_person: float | None,
    author: Author,
) -> Cleaned:
    """One verdict for every one of N `utterances` (utterance_id, speaker_id, session_id) with `vectors` (N, D).

    `min_one_person` is the extractor's own threshold, where somebody has measured it. Raises PipelineError where the
    rule needs it and nobody has, ValueError for a vector without direction.
    """
    if isinstance(settings, Robust):
        return clean_robust(utterances, vectors, settings=settings, author=author)
    asked = settings.min_speaker_similarity
    least = min_one_person if asked == "extractor" else asked
    if least is None:
        raise PipelineError("cleaning.min_speaker_similarity: nobody has measured this encoder's; expected a cosine")
    return clean_vietsv(
        utterances, vectors, iqr_factor=settings.iqr_factor, min_speaker_similarity=float(least), author=author
    )
