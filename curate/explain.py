"""Every decision on an utterance or a speaker, in words."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curate.catalog import Catalog, rows_of
from curate.decisions import in_words
from curate.errors import CatalogError
from curate.reasons import Subject
from curate.schema import AGE_LABELS, DECISIONS, IDENTITIES, SPEAKER_PAIRS, SPLITS, UTTERANCES, Table


def explain(catalog: Catalog, subject_id: str) -> list[str]:
    """Lines on the utterance or speaker of this id. Raises CatalogError where there is neither."""
    utterances = catalog.read(UTTERANCES)
    of_utterance = utterances.filter(pc.equal(utterances["utterance_id"], subject_id))
    if len(of_utterance):
        return _on_utterance(catalog, of_utterance.to_pylist()[0])
    of_speaker = utterances.filter(pc.equal(utterances["speaker_id"], subject_id))
    if len(of_speaker):
        return _on_speaker(catalog, subject_id, of_speaker)
    ids = utterances["utterance_id"].to_pylist()
    near = [one for one in ids if subject_id in one][:3]
    hint = f"did you mean {' or '.join(near)}?" if near else f"expected an id such as {ids[0]}"
    raise CatalogError(f"{subject_id!r}: neither an utterance nor a speaker of {catalog.root}; {hint}")


def counted(number: int, one: str, many: str | None = None) -> str:
    """`1 speaker` or `2 speakers`; `many` is how several are called where that is not `one` with an s."""
    return f"{number} {one}" if number == 1 else f"{number} {many or one + 's'}"


def _on_utterance(catalog: Catalog, row: dict[str, Any]) -> list[str]:
    utterance, speaker = row["utterance_id"], row["speaker_id"]
    length = "no audio" if row["duration_s"] is None else f"{row['duration_s']:.2f} s at {row['sample_rate_hz']} Hz"
    told = [f"sex {row['sex'] or 'unknown'}", f"age {_age(row)}", f"session {row['session_id'] or 'unknown'}"]
    lines = [f"Utterance {utterance}: {row['path']}, {length}; {', '.join(told)}."]
    about = _rows(catalog, DECISIONS, "subject_id", utterance)  # a speaker may have the same id
    lines += [_sentence("The utterance", decision) for decision in about if decision["subject"] == Subject.UTTERANCE]
    lines += [_sentence(f"Its speaker {speaker}", d) for d in _decisions_on_speaker(catalog, speaker)]
    lines += _identity(catalog, speaker)
    for label in _rows(catalog, AGE_LABELS, "utterance_id", utterance):
        group = (
            f"{label['age_group']}, {label['age_subgroup'] or 'no one subgroup'}"
            if label["age_group"]
            else f"none ({label['unlabelled_because']})"
        )
        lines.append(f"Age group in {label['scheme']}: {group}.")
    for split in _rows(catalog, SPLITS, "utterance_id", utterance):
        lines.append(f"Benchmark {split['benchmark']}: in {split['split']}.")
    return lines


def _on_speaker(catalog: Catalog, speaker: str, utterances: pa.Table) -> list[str]:
    decisions = catalog.read(DECISIONS) if catalog.parts(DECISIONS) else rows_of(DECISIONS, [])
    of_speaker = pc.is_in(decisions["subject_id"], value_set=utterances["utterance_id"].combine_chunks())
    about = decisions.filter(pc.and_(of_speaker, pc.equal(decisions["subject"], Subject.UTTERANCE)))
    counts = about.group_by(["verdict", "reason"]).aggregate([("subject_id", "count")]).sort_by("reason").to_pylist()
    lines = [f"Speaker {speaker}: {counted(len(utterances), 'utterance')}."]
    lines += [f"  {row['subject_id_count']} {row['verdict']}, {row['reason']}" for row in counts]
    lines += [_sentence("The speaker", decision) for decision in _decisions_on_speaker(catalog, speaker)]
    for column, other in (("speaker_id", "other_id"), ("other_id", "speaker_id")):
        for pair in _rows(catalog, SPEAKER_PAIRS, column, speaker):
            lines.append(f"Mean cosine with {pair[other]}: {pair['similarity']:.4f}.")
    return lines + _identity(catalog, speaker)


def _decisions_on_speaker(catalog: Catalog, speaker: str) -> list[dict[str, Any]]:
    about = _rows(catalog, DECISIONS, "subject_id", speaker) + _rows(catalog, DECISIONS, "other_id", speaker)
    return [decision for decision in about if decision["subject"] != Subject.UTTERANCE]


def _sentence(subject: str, decision: dict[str, Any]) -> str:
    is_pair = decision["subject"] == Subject.PAIR
    pair = f", as {decision['subject_id']} with {decision['other_id']}," if is_pair else ""
    words = in_words(decision).replace("other_id", str(decision["other_id"]))  # a duplicate's meaning names it
    by = f"{decision['decided_by']}, step {decision['step']}, run {decision['run_id']}"
    return f"{subject}{pair} was {words}. By {by}."


def _identity(catalog: Catalog, speaker: str) -> list[str]:
    lines = []
    for row in _rows(catalog, IDENTITIES, "speaker_id", speaker):
        same = [r["speaker_id"] for r in _rows(catalog, IDENTITIES, "identity_id", row["identity_id"])]
        others = ", ".join(one for one in same if one != speaker)
        lines.append(f"Identity {row['identity_id']}{f', with {others}' if others else ', of this speaker alone'}.")
    return lines


def _rows(catalog: Catalog, table: Table, column: str, value: str) -> list[dict[str, Any]]:
    """The rows where the column has this value; none where the table was not made yet."""
    if not catalog.parts(table):
        return []
    rows = catalog.read(table)
    found: list[dict[str, Any]] = rows.filter(pc.equal(rows[column], value)).to_pylist()
    return found


def _age(row: dict[str, Any]) -> str:
    youngest, oldest = row["age_min_years"], row["age_max_years"]
    if youngest is None:
        return "unknown"
    return f"{youngest}" if youngest == oldest else f"{youngest} to {oldest}"
