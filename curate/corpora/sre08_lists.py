"""The lists and keys of NIST SRE 2008, gathered from wherever they lie below a root; `nist_sre08` says their forms."""

import filecmp
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from curate.corpora.described import sex_of
from curate.corpora.lists import fields_of, lines_of, side_of
from curate.corpora.places import files_below
from curate.corpora.sidecars import Links, sex_at
from curate.errors import CorpusError
from curate.storage import is_local, read_bytes, why

Side = tuple[str, str]  # segment, and a or b; "" where the sides of a call are summed
Model = tuple[str, str]  # training condition, and model

_NAMES = {  # of the files of each kind, with their condition
    "trn": re.compile(r"(\w+)\.trn", re.I),
    "ndx": re.compile(r"(\w+-\w+)\.ndx", re.I),
    "model key": re.compile(r"NIST_SRE08_(\w+)\.model\.key", re.I),
    "trial key": re.compile(r"NIST_SRE08_(\w+-\w+)\.trial\.key", re.I),
    "segment key": re.compile(r"NIST_SRE08_(\w+\.(?:train|test))\.segment\.key", re.I),
    "header info": re.compile(r"NIST_SRE08_header_info\.(.+)\.csv", re.I),
}
_TRN, _NDX = "MODEL SEGMENT.sph:SIDE,...", "MODEL m|f SEGMENT.sph:SIDE"
_MODEL_KEY, _TRIAL_KEY = "MODEL,m|f,SEGMENT:SIDE ...,SPEAKER", "MODEL,SEGMENT,SIDE,target|nontarget,..."
_SEGMENT_KEY = "SEGMENT,..,..,SPEECH,LANGUAGE,SPEAKER:KIND:NATIVE ..."
_HEADER_INFO = "SEGMENT,LANGUAGE,SPEECH,CHANNEL"
_LANGUAGES = {"eng": "en"}  # others stay in the three letters that the lists spell


@dataclass
class Lists:
    """What all lists say together."""

    models: dict[Model, list[Side]] = field(default_factory=dict)
    model_speakers: dict[Model, str] = field(default_factory=dict)  # by model keys
    speakers: dict[Side, str] = field(default_factory=dict)  # by segment keys
    targets: list[tuple[Side, Model]] = field(default_factory=list)  # whose target trial a side is
    trained: set[str] = field(default_factory=set)  # segments of the training part
    sexes: dict[Side, str | None] = field(default_factory=dict)  # of every side that a list names
    languages: dict[str, str] = field(default_factory=dict)  # by segment
    trials: dict[str, Path] = field(default_factory=dict)  # by condition: the key, else the .ndx
    indexed: dict[str, set[str]] = field(default_factory=dict)  # segments that the .ndx of a condition names

    def sides_of(self) -> dict[str, list[str]]:
        """The sides that lists name of each segment, in order."""
        sides: dict[str, list[str]] = {}
        for segment, letter in sorted(self.sexes):
            sides.setdefault(segment, []).append(letter)
        return sides


@dataclass(frozen=True)
class Trial:
    """One line of a trial key or an .ndx; only the latter says the sex, only the former who it is."""

    place: str
    model: Model
    side: Side
    sex: str | None
    is_target: bool | None


def read_lists(root: Path, links: Links) -> Lists:
    """All lists below a folder. Raises CorpusError where there are none, or where a key names what the lists lack."""
    lists, found = Lists(), _found(root, links)
    if not any(found.values()):
        raise CorpusError(f"{root}: no .trn, .ndx or .key of NIST SRE08; expected those of LDC2011S05 and LDC2011S08")
    for training, path in found["trn"]:
        _read_trn(path, training, lists)
    for training, path in found["model key"]:
        _read_model_key(path, training, lists)
    for _, path in found["header info"]:
        for place, cells in _rows(path, _HEADER_INFO, 2):
            lists.languages[_segment(cells[0], place)] = _language(cells[1])
    for condition, path in found["segment key"]:
        _read_segment_key(path, condition, lists)
    lists.trials = dict(found["ndx"]) | dict(found["trial key"])
    for condition, path in (*found["ndx"], *found["trial key"]):
        for trial in trials_of(condition, path):
            _take(trial, condition, lists)
    return lists


def trials_of(condition: str, path: Path) -> Iterator[Trial]:
    """Every line of a trial key or an .ndx."""
    training = condition.partition("-")[0]
    if path.suffix.lower() == ".ndx":
        for place, (model, sex, said) in fields_of(path, expected=_NDX, counts=(3,)):
            yield Trial(place, (training, model), _side(said, place), sex_at(place, sex), None)
        return
    for place, cells in _rows(path, _TRIAL_KEY, 4):
        if cells[3] not in ("target", "nontarget"):
            raise CorpusError(f"{place}: {cells[3][:80]!r}; expected target or nontarget")
        side = (_segment(cells[1], place), side_of(cells[2], place) if cells[2] else "")
        yield Trial(place, (training, cells[0]), side, None, cells[3] == "target")


def _found(root: Path, links: Links) -> dict[str, list[tuple[str, Path]]]:
    """Condition and path of the files of each kind. Raises CorpusError for two that have one name and differ."""
    found: dict[str, list[tuple[str, Path]]] = {kind: [] for kind in _NAMES}
    first: dict[tuple[str, str], Path] = {}
    for said in files_below(root, (".trn", ".ndx", ".key", ".csv"), links=links):
        path = root / said
        for kind, name in _NAMES.items():
            match = name.fullmatch(path.name)
            if not match or (match[1].lower().partition(".")[0] == "all" and kind != "header info"):
                continue
            same = first.setdefault((path.name.lower(), path.parent.name if kind == "trn" else ""), path)
            if same == path:
                found[kind].append((match[1].lower(), path))
            elif not _are_equal(same, path):
                raise CorpusError(f"{path}: differs from {same}; expected one list of that name")
    return found


def _are_equal(one: Path, other: Path) -> bool:
    try:
        if is_local(one):
            return filecmp.cmp(one, other, shallow=False)
        return read_bytes(one) == read_bytes(other)
    except OSError as error:
        raise CorpusError(f"{error.filename}: {why(error)}; expected a list that can be read") from error


def _read_trn(path: Path, training: str, lists: Lists) -> None:
    folder = path.parent.name
    if folder.lower() not in ("female", "male"):
        raise CorpusError(f"{path}: in a folder {folder[:80]!r}; expected it in male or female")
    sex = sex_of(folder)
    for place, (model, said) in fields_of(path, expected=_TRN, counts=(2,)):
        sides = [_side(one, place) for one in said.split(",") if one]
        if not sides or lists.models.setdefault((training, model), sides) is not sides:
            raise CorpusError(f"{place}: model {model[:80]!r} again, or of no segment; expected {_TRN}")
        lists.trained.update(segment for segment, _ in sides)
        lists.sexes.update(dict.fromkeys(sides, sex))


def _read_model_key(path: Path, training: str, lists: Lists) -> None:
    """Whose each model is. Without the .trn of its condition the key says the models, too."""
    is_listed = any(condition == training for condition, _ in lists.models)
    for place, cells in _rows(path, _MODEL_KEY, 4):
        model = (training, cells[0])
        if is_listed and model not in lists.models:
            raise CorpusError(f"{place}: no model {cells[0][:80]!r} in {training}.trn; expected one that it has")
        if model in lists.model_speakers:
            raise CorpusError(f"{place}: model {cells[0][:80]!r} again; expected one line a model")
        if not cells[3]:
            raise CorpusError(f"{place}: model {cells[0][:80]!r} of no speaker; expected {_MODEL_KEY}")
        lists.model_speakers[model] = cells[3]
        if not is_listed:
            lists.models[model] = [_side(one, place) for one in cells[2].split()]
        if not lists.models[model]:
            raise CorpusError(f"{place}: model {cells[0][:80]!r} of no segment; expected {_MODEL_KEY}")
        for side in lists.models[model]:
            lists.trained.add(side[0])
            lists.sexes[side] = lists.sexes.get(side) or sex_at(place, cells[1])


def _read_segment_key(path: Path, condition: str, lists: Lists) -> None:
    """Who says each side. A word in N is a speaker who is not known."""
    for place, cells in _rows(path, _SEGMENT_KEY, 6):
        segment = _segment(cells[0], place)
        lists.languages.setdefault(segment, _language(cells[4]))
        said = [one.partition(":")[0] for cell in cells[5:] for one in cell.split()]
        if len(said) > 2 or not all(":" in one for cell in cells[5:] for one in cell.split()):
            raise CorpusError(
                f"{place}: speakers {' '.join(cells[5:])[:80]!r}; expected one or two SPEAKER:KIND:NATIVE"
            )
        known = {letter: who for letter, who in zip("ab", said, strict=False) if not is_unknown(who)}
        if condition.endswith(".train"):
            lists.trained.add(segment)
        if "summed" in condition:
            known = {"": "+".join(sorted(known.values()))} if known else {}
        for letter, who in known.items():
            lists.speakers[segment, letter] = who
            lists.sexes.setdefault((segment, letter), None)


def _take(trial: Trial, condition: str, lists: Lists) -> None:
    """Note what a trial says of its test side."""
    training, model = trial.model
    if trial.model not in lists.models:
        raise CorpusError(
            f"{trial.place}: no model {model[:80]!r} in any list of {training}; expected it in a file "
            f"{training}.trn or NIST_SRE08_{training}.model.key"
        )
    if trial.is_target is None:
        lists.indexed.setdefault(condition, set()).add(trial.side[0])
    elif condition in lists.indexed and trial.side[0] not in lists.indexed[condition]:
        raise CorpusError(
            f"{trial.place}: no segment {trial.side[0][:80]!r} in {condition}.ndx; expected one that it has"
        )
    elif trial.is_target:
        lists.targets.append((trial.side, trial.model))
    sex = trial.sex or (lists.sexes[lists.models[trial.model][0]] if trial.is_target else None)
    lists.sexes[trial.side] = lists.sexes.get(trial.side) or sex


def is_unknown(speaker: str) -> bool:
    """Whether a key says by a word in N (NA) that it does not know who it is; speakers are numbers."""
    return not speaker or speaker[0] in "Nn"


def _rows(path: Path, expected: str, least: int) -> Iterator[tuple[str, list[str]]]:
    """`(place, cells)` of a file that is divided by commas; a first line that begins with no number is a header."""
    for number, (place, line) in enumerate(lines_of(path, expected=expected)):
        cells = [cell.strip() for cell in line.split(",")]
        if number == 0 and not cells[0].isdigit():
            continue
        if len(cells) < least:
            raise CorpusError(f"{place}: {len(cells)} fields; expected {expected}")
        yield place, cells


def _side(said: str, place: str) -> Side:
    segment, colon, letter = said.partition(":")
    return _segment(segment, place), side_of(letter, place) if colon else ""


def _segment(said: str, place: str) -> str:
    segment = said.lower().removesuffix(".sph")
    if not re.fullmatch(r"\w+", segment):
        raise CorpusError(f"{place}: segment {said[:80]!r}; expected the name of a .sph file")
    return segment


def _language(said: str) -> str:
    return _LANGUAGES.get(said.lower(), said.lower())
