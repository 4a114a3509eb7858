"""Who is one person, by the threshold that the pipeline file asks for: calibrated, measured or given."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import pyarrow as pa

from curate.calibration import Calibration, calibrate_corpora
from curate.catalog import rows_of
from curate.config import Identities
from curate.decisions import Author
from curate.errors import PipelineError
from curate.schema import CALIBRATIONS
from curate.sides import Pair
from curate.similarity import Vectors
from curate.speakers import VIETSV_MIN_SIMILARITY, Unified, unify

SEED = 0  # of the people that are drawn to tell the uncertainty: who is who does not change with the split
ABOUT_CALIBRATION = ("max_false_merge_rate",)  # keys of the section that `unify` does not need


@dataclass(frozen=True, kw_only=True)
class SamePeople:
    """Who is who, and the thresholds that it rests on, as rows of CALIBRATIONS and in words."""

    unified: Unified
    calibrations: pa.Table  # none where the threshold was measured or given
    threshold: str


def same_people(
    speakers: pa.Table,
    utterances: pa.Table,
    vectors: Vectors,
    *,
    settings: Identities,
    min_same_person: float | None,
    author: Author,
    reviewed: Mapping[Pair, str] | None = None,
    overwrite: bool = False,
) -> SamePeople:
    """Who of `speakers` is who by the `vectors` (N, D) of their kept `utterances`.

    `min_same_person` is the extractor's own threshold, where somebody has measured it: a calibration that finds too few
    people falls back on it. `reviewed` is what reviewers say of pairs, for `unify`. Raises PipelineError where there is
    neither, ValueError for vectors without direction. With `overwrite` vectors are brought to length one where they
    lie.
    """
    threshold, told = _threshold(speakers, utterances, vectors, settings, min_same_person)
    others = {
        key: value for key, value in asdict(settings).items() if key not in ("min_similarity", *ABOUT_CALIBRATION)
    }
    unified = unify(
        speakers,
        utterances,
        vectors,
        min_similarity=threshold,
        **others,
        author=author,
        reviewed=reviewed,
        overwrite=overwrite,
    )
    calibrated = threshold.items() if isinstance(threshold, Mapping) else ()
    rows = rows_of(CALIBRATIONS, [_row(corpus, one) for corpus, one in sorted(calibrated)])
    return SamePeople(unified=unified, calibrations=rows, threshold=told)


def _row(corpus: str, one: Calibration) -> dict[str, object]:
    """Of CALIBRATIONS, for a corpus that the calibration holds for."""
    return {
        "corpus": corpus,
        "told_by": one.corpus,
        "threshold": one.threshold,
        "threshold_lower": one.threshold_interval[0],
        "threshold_upper": one.threshold_interval[1],
        "wanted_rate": one.wanted_rate,
        "rate": one.rate,
        "rate_lower": one.rate_interval[0],
        "rate_upper": one.rate_interval[1],
        "num_people": one.num_speakers,
        "num_pairs": one.num_pairs,
        "is_told_apart": one.is_told_apart,
    }


def _threshold(
    speakers: pa.Table,
    utterances: pa.Table,
    vectors: Vectors,
    settings: Identities,
    min_same_person: float | None,
) -> tuple[float | Mapping[str, Calibration], str]:
    asked = settings.min_similarity
    if asked == "vietsv":
        return VIETSV_MIN_SIMILARITY, f"threshold {VIETSV_MIN_SIMILARITY}"
    if asked == "extractor":
        if min_same_person is None:
            raise PipelineError("identities.min_similarity: nobody has measured this encoder's; expected a cosine")
        return min_same_person, f"threshold {min_same_person}"
    if asked != "calibrated":
        return float(asked), f"threshold {asked}"
    try:
        found = calibrate_corpora(
            speakers,
            utterances,
            vectors,
            wanted_rate=settings.max_false_merge_rate,
            guards=settings.guards,
            min_utterances=settings.min_utterances,
            seed=SEED,
        )
    except PipelineError as error:
        if min_same_person is None:
            raise
        return min_same_person, f"threshold {min_same_person}, the encoder's ({error})"
    return found, "thresholds " + ", ".join(f"{one.threshold:.3f} ({corpus})" for corpus, one in found.items())
