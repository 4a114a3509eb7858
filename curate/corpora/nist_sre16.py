"""NIST SRE 2016: telephone calls in Tagalog and Cantonese (eval), Cebuano and Mandarin (dev), one voice a file.

Licence: LDC User Agreement. Citation: Sadjadi et al., "The 2016 NIST Speaker Recognition Evaluation", Interspeech 2017.
https://catalog.ldc.upenn.edu/LDC2019S20

Layout: one or more releases, the root itself or up to three folders below it (LDC2019S20 has them in
`data/eval/R149_0_1` and `data/dev/R148_0_0`), each of `<set>` eval or dev with tables that are divided by tabs
    `docs/sre16_<set>_enrollment.tsv`: modelid, segment, side; several segments a model
    `docs/sre16_<set>_trials.tsv`: modelid, segment, side; `sre16_<set>_trial_key.tsv` has targettype, too
    `docs/sre16_<set>_segment_key.tsv`, perhaps `_enrollment_segment_key.tsv` and `_test_segment_key.tsv`: segment,
    call_id
    `metadata/calls.tsv`: call_id, language_id; `call_sides.tsv`: call_id, subject_id; `subjects.tsv`: subject_id, sex
and audio in `data/{enrollment,test}/` and `data/unlabeled/{major,minor}/`, `<segment>.sph`. The recipes of Kaldi and
Hyperion read all this. Inferred: that a year of birth is in a column of subjects.tsv with `birth` in its name, and the
date of a call in one of calls.tsv with `date` in its name; where both are there, they make an age.

A session is a call. The releases of the evaluation itself came without segment keys: then the segments of a model have
the label `model_<modelid>`, and every test segment has its own, `segment_<segment>`. So has every unlabelled one:
nobody published whose they are (`exclude = ["*/unlabeled/*"]` leaves them out).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from unicodedata import normalize

from pydantic import Field
from pydantic.dataclasses import dataclass as validated

from curate.corpora.described import STRICT, CorpusSettings, Described, Enrolment, PublishedTrial, files_in, sex_of
from curate.corpora.places import files_below, printable
from curate.corpora.sidecars import own_file
from curate.corpora.tabular import read_cells
from curate.errors import CorpusError
from curate.storage import is_folder

LICENCE = "LDC User Agreement"
CITATION = "Sadjadi et al.: The 2016 NIST Speaker Recognition Evaluation, Interspeech 2017"
URL = "https://catalog.ldc.upenn.edu/LDC2019S20"
FILLS = ("sex", "age", "session", "language", "corpus_split")

AUDIO = (".sph", ".wav", ".flac")
PARTS = ("enrollment", "test", "unlabeled")
_KEYS = {"target": True, "nontarget": False}


@validated(frozen=True, kw_only=True, config=STRICT)
class Settings(CorpusSettings):
    """Nothing beyond what every corpus takes."""

    reader: Literal["nist_sre16"]
    max_duration_s: float = Field(default=600.0, gt=0)  # calls and interviews last minutes


@dataclass(frozen=True)
class _Release:
    """One folder with its docs, and whether it is eval or dev."""

    folder: Path
    set: str

    def doc(self, what: str) -> Path:
        """A table of docs; dev releases also spell `enrollments`."""
        path = self.folder / "docs" / f"sre16_{self.set}_{what}.tsv"
        other = self.folder / "docs" / f"sre16_{self.set}_{what}s.tsv"
        return other if other.exists() and not path.exists() else path

    def name(self, part: str, segment: str) -> str:
        """What an utterance is called."""
        return f"{self.set}/{part}/{segment}"


@dataclass(frozen=True)
class _Call:
    """What metadata says of one call and the person who is recorded in it."""

    call: str
    speaker: str
    sex: str | None
    language: str | None
    age_years: tuple[int, int] | None


def rows(root: Path, settings: Settings) -> Iterator[Described]:
    """Every audio file of every release. Raises CorpusError for a segment that its segment key lacks."""
    for release in _releases(root, settings):
        if not is_folder(release.folder / "data"):
            raise CorpusError(f"{release.folder / 'data'}: no such folder; expected the audio of the release")
        calls = _calls(release)
        data = _relative(release.folder / "data", root)
        model_of = {segment: model for _, model, segment in _models(release)}
        for path in files_below(root, AUDIO, folder=data, links=settings.links):
            yield _row(path, release, calls, model_of, root, settings)


def enrolments(root: Path, settings: Settings) -> Iterator[Enrolment]:
    """Every segment of every model, in lists called `eval/enrollment` and `dev/enrollment`."""
    for release in _releases(root, settings):
        calls = _calls(release)
        for place, model, segment in _models(release):
            _call_of(segment, calls, place)
            utterance = release.name("enrollment", segment)
            yield Enrolment(list=f"{release.set}/enrollment", model=model, utterance=utterance)


def published_trials(root: Path, settings: Settings) -> Iterator[PublishedTrial]:
    """The trials of each release, in lists called `eval/trials` and `dev/trials`; without a key where none is there."""
    for release in _releases(root, settings):
        calls, models = _calls(release), {model for _, model, _ in _models(release)}
        key = release.doc("trial_key")
        is_keyed = key.exists()
        if not is_keyed and not release.doc("trials").exists():
            continue
        columns = ("modelid", "segment", "targettype") if is_keyed else ("modelid", "segment")
        for place, row in _table(key if is_keyed else release.doc("trials"), *columns):
            if row["modelid"] not in models:
                raise CorpusError(
                    f"{place}: no model {row['modelid'][:80]!r} in {release.doc('enrollment')}; expected one that it "
                    "has"
                )
            if is_keyed and row["targettype"] not in _KEYS:
                raise CorpusError(f"{place}: targettype {row['targettype'][:80]!r}; expected target or nontarget")
            segment = _segment(row["segment"])
            _call_of(segment, calls, place)
            yield PublishedTrial(
                list=f"{release.set}/trials",
                enrol=row["modelid"],
                enrol_list=f"{release.set}/enrollment",
                test=release.name("test", segment),
                is_target=_KEYS[row["targettype"]] if is_keyed else None,
            )


def remarks(root: Path, settings: Settings) -> Iterator[str]:
    """Models whose segments are of two speakers, and releases without segment keys."""
    for release in _releases(root, settings):
        calls = _calls(release)
        if not calls:
            yield f"{release.folder}: no segment key; who speaks is known for the models only"
            continue
        speakers: dict[str, set[str]] = {}
        for place, model, segment in _models(release):
            if call := _call_of(segment, calls, place):
                speakers.setdefault(model, set()).add(call.speaker)
        for model in sorted(model for model, several in speakers.items() if len(several) > 1):
            whose = ", ".join(sorted(speakers[model]))
            yield f"model {model[:80]!r} of {release.set}: segments of speakers {printable(whose[:80])}"


def _releases(root: Path, settings: Settings) -> list[_Release]:
    """Raises CorpusError where there is none, and for a table that is a link out of the root."""
    tables = files_in(root, *("*/" * depth + "docs/sre16_*_enrollment*.tsv" for depth in range(4)))
    folders = {path.parent: None for path in tables}
    found = [
        _Release(folder.parent, one)
        for folder in folders
        for one in ("dev", "eval")
        if any(path.parent == folder and path.name.startswith(f"sre16_{one}_enrollment") for path in tables)
    ]
    if not found:
        raise CorpusError(f"{root}: no docs/sre16_eval_enrollment.tsv and none of dev; expected a release of SRE16")
    sets = [release.set for release in found]
    if len(set(sets)) < len(sets):
        raise CorpusError(f"{root}: two releases of {max(sets, key=sets.count)}; expected one of each set")
    for path in (path for release in found for path in files_in(release.folder, "docs/*.tsv", "metadata/*.tsv")):
        own_file(root, _relative(path, root), settings.links)
    return found


def _row(
    path: str, release: _Release, calls: dict[str, _Call], model_of: dict[str, str], root: Path, settings: Settings
) -> Described:
    inner = path.removeprefix(_relative(release.folder / "data", root) + "/")
    part, segment = inner.partition("/")[0], _segment(inner.rpartition("/")[2].rpartition(".")[0])
    if part not in PARTS or "/" not in inner:
        raise CorpusError(
            f"{root}/{printable(path)}: in data/{printable(part)}; expected it in data/ and one of {', '.join(PARTS)}"
        )
    call = _call_of(segment, calls, f"{root}/{printable(path)}") if part != "unlabeled" else None
    if call is None:
        model = model_of.get(segment) if part == "enrollment" else None
        call = _Call(segment, f"model_{model}" if model else f"segment_{segment}", None, None, None)
    return Described(
        path=path,
        name=release.name(part, segment),
        speaker=call.speaker,
        session=call.call,
        sex=call.sex,
        age_years=call.age_years,
        age_source="subjects.tsv" if call.age_years else None,
        language=settings.language or call.language,
        corpus_split=f"{release.set}/{part}",
    )


def _calls(release: _Release) -> dict[str, _Call]:
    """The call of each segment; nothing, where no segment key is there."""
    keys = [release.doc(f"{part}segment_key") for part in ("", "enrollment_", "test_")]
    keys = [key for key in keys if key.exists()]
    known = _metadata(release.folder / "metadata") if keys else {}
    calls: dict[str, _Call] = {}
    for key in keys:
        for place, row in _table(key, "segment", "call_id"):
            if row["call_id"] not in known:
                raise CorpusError(
                    f"{place}: no call {row['call_id'][:80]!r} in metadata; expected one of call_sides.tsv"
                )
            call = known[row["call_id"]]
            if calls.setdefault(_segment(row["segment"]), call) != call:
                raise CorpusError(
                    f"{place}: segment {row['segment'][:80]!r} is of another call before; expected one call"
                )
    return calls


def _metadata(folder: Path) -> dict[str, _Call]:
    """Every call. Raises CorpusError where the three tables do not fit together."""
    subjects = _keyed(folder / "subjects.tsv", "subject_id", "sex")
    details = _keyed(folder / "calls.tsv", "call_id", "language_id")
    calls: dict[str, _Call] = {}
    for place, row in _table(folder / "call_sides.tsv", "call_id", "subject_id"):
        call, subject = row["call_id"], row["subject_id"]
        if call not in details:
            raise CorpusError(f"{place}: no call {call[:80]!r} in calls.tsv; expected one that it has")
        if subject not in subjects:
            raise CorpusError(f"{place}: no subject {subject[:80]!r} in subjects.tsv; expected one that it has")
        language = details[call]["language_id"].lower() or None
        age = _age(subjects[subject], details[call])
        try:
            sex = sex_of(subjects[subject]["sex"])
        except CorpusError as error:
            raise CorpusError(f"{folder / 'subjects.tsv'}: subject {subject[:80]!r}: {error}") from error
        made = _Call(call, subject, sex, language, age)
        if calls.setdefault(call, made) != made:
            raise CorpusError(f"{place}: call {call[:80]!r} has two subjects; expected the one who is recorded")
    return calls


def _age(subject: dict[str, str], call: dict[str, str]) -> tuple[int, int] | None:
    """In years at the call, before and after that year's birthday."""
    born, called = _year(subject, "birth"), _year(call, "date")
    return (max(called - born - 1, 0), called - born) if born and called and called >= born else None


def _year(row: dict[str, str], word: str) -> int | None:
    said = next((text for column, text in row.items() if word in column.lower()), "")
    match = re.search(r"(?<!\d)(?:19|20)\d\d", said, re.A)
    return int(match[0]) if match else None


def _models(release: _Release) -> Iterator[tuple[str, str, str]]:
    """Place, model and segment of each line of the enrolment table."""
    for place, row in _table(release.doc("enrollment"), "modelid", "segment"):
        yield place, row["modelid"], _segment(row["segment"])


def _call_of(segment: str, calls: dict[str, _Call], place: str) -> _Call | None:
    """None where no segment key is there. Raises CorpusError for a segment that the keys lack."""
    if not calls:
        return None
    if segment not in calls:
        raise CorpusError(f"{place}: no segment {segment[:80]!r} in the segment keys; expected one that they have")
    return calls[segment]


def _segment(said: str) -> str:
    return normalize("NFC", said).removesuffix(".sph")


def _relative(folder: Path, root: Path) -> str:
    return folder.relative_to(root).as_posix()


def _keyed(path: Path, key: str, column: str) -> dict[str, dict[str, str]]:
    """Row by key. Raises CorpusError for a key that is there twice."""
    rows: dict[str, dict[str, str]] = {}
    for place, row in _table(path, key, column):
        if rows.setdefault(row[key], row) is not row:
            raise CorpusError(f"{place}: {key} {row[key][:80]!r} again; expected one row each")
    return rows


def _table(path: Path, *columns: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Place and row of each line. Raises CorpusError for a column that is not there, and for a key without a value."""
    for place, row in read_cells(path):
        for column in columns:
            if column not in row:
                raise CorpusError(f"{place}: no column {column!r}; expected {', '.join(columns)}, divided by tabs")
            if not row[column] and column not in ("sex", "language_id"):  # which may be unknown
                raise CorpusError(f"{place}: no {column}; expected one in every row")
        yield place, row
