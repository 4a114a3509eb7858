"""Many verdicts at once, from a CSV file: what `curate reviews --csv` prints may be said to another catalog."""

import csv
from pathlib import Path

from curate.catalog import Catalog
from curate.errors import shown
from curate.named import Named, Review, ReviewError
from curate.reasons import Subject, Verdict

NEEDED, KNOWN = ("subject_id", "verdict"), ("subject_id", "verdict", "other_id", "subject", "note")


def read_verdicts(path: Path, catalog: Catalog, note: str | None = None) -> list[Review]:
    """The verdicts of a file, a row each; columns that are not in `KNOWN` are not looked at.

    A row without a note has `note`. What a row is about is told by its ids where it does not say. Raises ReviewError
    naming the file, and the line of a row that cannot be said.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            columns = reader.fieldnames or []
            rows = [(reader.line_num, row) for row in reader]
    except OSError as error:
        raise ReviewError(f"{path}: {error.strerror}; expected CSV with the columns {', '.join(NEEDED)}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ReviewError(f"{path}: {error}; expected CSV in UTF-8") from error
    lacking = [name for name in NEEDED if name not in columns]
    if lacking or not rows:
        fault = f"no column {lacking[0]!r}" if lacking else "no row"
        raise ReviewError(f"{path}: {fault}; expected CSV with the columns {', '.join(NEEDED)}, a verdict a row")
    said = [(line, {name: row.get(name) or None for name in KNOWN}) for line, row in rows]
    named = Named(catalog, {one for _, row in said for one in (row["subject_id"], row["other_id"]) if one})
    found = []
    for line, row in said:
        try:
            found.append(_review(row, named, note))
        except ReviewError as error:
            raise ReviewError(f"{path}, line {line}: {error}") from error
    return found


def _review(row: dict[str, str | None], named: Named, note: str | None) -> Review:
    one, other, said_verdict, said_subject = (row[name] for name in ("subject_id", "other_id", "verdict", "subject"))
    if one is None:
        raise ReviewError("no subject_id; expected an utterance_id or a speaker_id")
    if said_verdict is None or said_verdict not in [*Verdict]:
        raise ReviewError(f"verdict {shown(said_verdict or '')}; expected one of {', '.join(Verdict)}")
    if said_subject is not None and said_subject not in [*Subject]:
        raise ReviewError(f"subject {shown(said_subject)}; expected one of {', '.join(Subject)}, or none")
    verdict, asked = Verdict(said_verdict), Subject(said_subject) if said_subject else None
    subject = Subject.PAIR if asked == Subject.PAIR else named.subject_of(one, other, verdict, asked)
    review = Review(subject=subject, subject_id=one, other_id=other, verdict=verdict, note=row["note"] or note)
    named.require_fit(review)
    return review
