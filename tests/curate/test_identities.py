"""What telling people apart promises beside the grouping itself: the threshold, where it is from, how sure it is."""

import numpy as np
import pyarrow as pa
import pytest

from curate.config import Identities
from curate.decisions import Author
from curate.errors import PipelineError
from curate.identities import same_people

AUTHOR = Author(rule="toy", step="identities", run_id="r")


def people(num: int, corpus: str, rng: np.random.Generator) -> tuple[list[str], np.ndarray]:
    """So many labels of one corpus with eight utterances each: ids of speakers, and vectors."""
    voices = np.repeat(rng.normal(size=(num, 32)), 8, axis=0) + 0.3 * rng.normal(size=(num * 8, 32))
    return [f"{corpus}/{one:02}" for one in range(num) for _ in range(8)], np.float32(voices)


def judge(speaker: list[str], vectors: np.ndarray, *, min_same_person: float | None = None, **settings):
    labels = sorted(set(speaker))
    told = {"corpus": [label.split("/")[0] for label in labels], "sex": [None] * len(labels)}
    speakers = pa.table({"speaker_id": labels} | told | {"language": pa.nulls(len(labels), pa.string())})
    speakers = speakers.set_column(2, "sex", speakers["sex"].cast(pa.string()))
    utterances = pa.table(
        {
            "utterance_id": [f"{label}/{at:04}" for at, label in enumerate(speaker)],
            "speaker_id": speaker,
            "session_id": pa.nulls(len(speaker), pa.string()),
            "duration_s": [5.0] * len(speaker),
        }
    )
    asked = Identities(**settings)
    return same_people(speakers, utterances, vectors, settings=asked, min_same_person=min_same_person, author=AUTHOR)


def test_a_calibrated_threshold_comes_as_a_row_a_corpus_with_its_interval():
    rng = np.random.default_rng(0)
    (one, vectors), (two, others) = people(12, "one", rng), people(2, "two", rng)
    found = judge(one + two, np.concatenate([vectors, others]), max_false_merge_rate=0.01)
    rows = found.calibrations.to_pylist()
    told = [(row["corpus"], row["told_by"], row["num_people"]) for row in rows]
    assert told == [("one", "one", 12), ("two", "one", 12)]
    for row in rows:
        assert row["threshold_lower"] <= row["threshold"]
        assert row["rate_lower"] <= row["rate"] <= row["rate_upper"]
        assert row["wanted_rate"] == 0.01
    assert f"{rows[0]['threshold']:.3f} (one)" in found.threshold
    assert len(found.unified.identities) == 14


@pytest.mark.parametrize(("asked", "told"), [(0.9, "threshold 0.9"), ("vietsv", "threshold 0.7")])
def test_a_threshold_that_is_given_has_no_row(asked, told):
    found = judge(*people(6, "one", np.random.default_rng(0)), min_similarity=asked)
    assert (len(found.calibrations), found.threshold) == (0, told)


def test_too_few_people_fall_back_on_what_the_encoder_was_measured_at_or_are_refused():
    few = people(3, "one", np.random.default_rng(0))
    assert judge(*few, min_same_person=0.82).threshold.startswith("threshold 0.82, the encoder's (one has 3 people")
    with pytest.raises(PipelineError, match="one has 3 people"):
        judge(*few)
    with pytest.raises(PipelineError, match="nobody has measured this encoder's"):
        judge(*few, min_similarity="extractor")
