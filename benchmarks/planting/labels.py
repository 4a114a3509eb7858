"""Plant what labels can be wrong in: no audio is touched, and every vector stays what it was.

Labels go wrong within a corpus, because that is where somebody gives them; only `split` may cross to another one.

- mixed: other people's utterances join the label of one who stays its owner, in the shares asked for.
- foreign_session: one session of somebody else joins a label in which it stays the smaller part; of a giver with one
  session only, half of it.
- split: half of a speaker's utterances, by whole sessions where there are several, get a label of their own.
- wrong_sex, wrong_age: all utterances of a label say the other sex, or an age 15 to 40 years off.
- wrong_speaker: single utterances join the label of another person, drawn uniformly over the labels of the corpus, over
  those of the same sex, or the label that is most like their own (mean cosine of all utterances).

Uniformly wrong labels are those of Fang et al., Robust Training for Speaker Verification against Noisy Labels
(Interspeech 2023, doi:10.21437/Interspeech.2023-452; steps/add_noisy_label_in_datalist.py of PunkMale/OR-Gate), who
take a share of all utterances and permute their labels; here each draws its own, so that none comes back to its owner.
The other ways are ours: what really happens is rarely uniform.

What is said of the speaker (sex, age, accent ...) and the session come with the new label, from an utterance of it: a
lone utterance joins a session of that label, and those that come together are a session of that label.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.planting.faults import OF_SOUND, TRUTH, Fault, Planting, PlantingError, number_of
from benchmarks.planting.ground import (
    MOVED,
    OF_SPEAKER,
    Change,
    Flags,
    Ground,
    as_said_of,
    change_of,
    ground_of,
    joined,
    tail_of,
    unused,
)
from curate.similarity import Indices, Vectors

YEARS_OFF = (15, 40)
AGES = (5, 100)  # a wrong age is one that somebody may have
OTHER_SEX = {"female": "male", "male": "female"}


@dataclass(frozen=True, kw_only=True)
class Planted:
    """The table with its faults, in the order of ids, and the truth. `free` (N,) are rows that no fault has touched."""

    utterances: pa.Table
    original_ids: list[str]
    free: Flags
    truth: pa.Table


def plant_labels(
    utterances: pa.Table, vectors: Vectors, planting: Planting, *, person_of: Mapping[str, str] | None = None
) -> Planted:
    """Plant the faults of labels that are asked for; `person_of` names the person of each label that has several.

    `vectors` (N, D) are those of `utterances`, row by row; the order of rows does not matter. Raises PlantingError
    where there are too few utterances, labels or people.
    """
    ground = ground_of(utterances, vectors, person_of or {})
    columns = {name: ground.utterances[name].to_pylist() for name in (*MOVED, *OF_SPEAKER)}
    truth: list[dict[str, Any]] = []
    for place, fault in enumerate(Fault):
        if fault not in planting.faults or fault in OF_SOUND:
            continue
        change = PLANT[fault](ground, np.random.default_rng([planting.seed, place]), planting)
        for name, values in change.columns.items():
            for row, value in zip(change.rows.tolist(), values, strict=True):
                columns[name][row] = value
        ground.free[change.rows] = ground.free[change.beside] = False
        told = zip(change.rows.tolist(), change.kinds, change.amounts, strict=True)
        truth += [{"fault": fault, "row": row, "kind": kind, "amount": amount} for row, kind, amount in told]
    return _planted(ground, columns, truth)


def _planted(ground: Ground, columns: dict[str, list[Any]], truth: list[dict[str, Any]]) -> Planted:
    """The tables, again in the order of ids, which may have changed."""
    table = ground.utterances
    for name, values in columns.items():
        place = table.schema.get_field_index(name)
        field = table.schema.field(place)
        table = table.set_column(place, field, pa.array(values, field.type))
    original = ground.utterances["utterance_id"].to_pylist()
    rows = [
        {
            "fault": str(one["fault"]),
            "kind": one["kind"],
            "utterance_id": columns["utterance_id"][one["row"]],
            "original_id": original[one["row"]],
            "speaker_id": columns["speaker_id"][one["row"]],
            "true_speaker_id": ground.labels[ground.speaker[one["row"]]],
            "amount": one["amount"],
        }
        for one in truth
    ]
    order = np.argsort(np.array(columns["utterance_id"], dtype=str), kind="stable")
    return Planted(
        utterances=table.take(pa.array(order)),
        original_ids=[original[row] for row in order],
        free=ground.free[order],
        truth=pa.Table.from_pylist(rows, schema=TRUTH.arrow()).sort_by("utterance_id"),
    )


# ------------------------------------------------------------------------------------------------ faults of labels


def mix(ground: Ground, rng: np.random.Generator, planting: Planting) -> Change:
    """Several people under one label; the guests' other utterances keep their label."""
    owner_part, *parts = planting.mixed_parts
    num = number_of(Fault.MIXED, planting.mixed, len(ground.labels), "labels")
    left, moves = ground.whole(), list[tuple[Indices, int]]()
    beside: list[Indices] = []
    for owner in rng.permutation(left).tolist():
        if len(beside) == num:
            break
        if owner not in left:
            continue
        own = ground.rows_of(owner)
        guests: list[tuple[int, int]] = []
        for part in parts:
            wanted = max(1, round(len(own) * part / owner_part))
            people = {ground.person[guest] for guest, _ in guests}
            able = [
                other
                for other in ground.neighbours(owner, left)
                if ground.person[other] not in people and len(ground.rows_of(other)) >= wanted
            ]
            if able:
                guests.append((int(rng.choice(able)), wanted))
        if len(guests) < len(parts):
            continue
        beside.append(own)
        left = [label for label in left if label != owner and label not in {guest for guest, _ in guests}]
        for guest, wanted in guests:
            moves.append((np.sort(rng.choice(ground.rows_of(guest), wanted, replace=False)), owner))
    if len(beside) < num:
        raise PlantingError(
            f"mixed {planting.mixed} in parts {list(planting.mixed_parts)}: {len(beside)} labels of {num} find other "
            "people in their corpus with utterances enough; expected a smaller share, or more people"
        )
    kind = ":".join(f"{100 * part:.0f}" for part in planting.mixed_parts)
    return joined(ground, rng, moves, [kind] * len(moves), beside)


def visit(ground: Ground, rng: np.random.Generator, planting: Planting) -> Change:
    """A whole session of somebody else under a label."""
    num = number_of(Fault.FOREIGN_SESSION, planting.foreign_session, len(ground.labels), "labels")
    left, moves = ground.whole(), list[tuple[Indices, int]]()
    kinds: list[str] = []
    beside: list[Indices] = []
    for owner in rng.permutation(left).tolist():
        if len(moves) == num:
            break
        own = ground.rows_of(owner)
        able = [
            (giver, rows, kind)
            for giver in (ground.neighbours(owner, left) if owner in left else [])
            for rows, kind in _sessions_to_give(ground, giver)
            if 0 < len(rows) < len(own)
        ]
        if not able:
            continue
        giver, rows, kind = able[rng.integers(len(able))]
        if kind == "half":
            rows = np.sort(rng.choice(ground.rows_of(giver), len(rows), replace=False))
        left = [label for label in left if label not in (owner, giver)]
        moves.append((rows, owner))
        kinds.append(kind)
        beside.append(own)
    if len(moves) < num:
        raise PlantingError(
            f"foreign_session {planting.foreign_session}: {len(moves)} labels of {num} find a session of somebody "
            "else in their corpus that is smaller than they are; expected a smaller share, or more people"
        )
    return joined(ground, rng, moves, kinds, beside)


def _sessions_to_give(ground: Ground, giver: int) -> list[tuple[Indices, str]]:
    """Each session of one who has several; of another, so many rows as are half of what there is."""
    rows = ground.rows_of(giver)
    names = ground.session[rows]
    several = sorted({name for name in names if name is not None})
    if len(several) > 1:
        return [(rows[names == name], "session") for name in several]
    return [(rows[: len(rows) // 2], "half")]


def split(ground: Ground, rng: np.random.Generator, planting: Planting) -> Change:
    """One person under two labels."""
    num = number_of(Fault.SPLIT, planting.split, len(ground.labels), "labels")
    able = [label for label in ground.whole() if len(ground.rows_of(label)) > 1]
    if len(able) < num:
        raise PlantingError(
            f"split {planting.split}: {len(able)} labels of {num} have two utterances or more to divide; expected a "
            "smaller share"
        )
    corpora = sorted(set(ground.corpus))
    across = planting.split_to == "other_corpus"
    if across and len(corpora) < 2:
        raise PlantingError(f"split_to other_corpus: {corpora[0]} is the only corpus; expected two or more")
    taken = set(ground.labels)
    columns: dict[str, list[Any]] = {name: [] for name in (MOVED if across else ("speaker_id", "session_id"))}
    parts, beside = [], []
    for label in np.sort(rng.choice(able, num, replace=False)).tolist():
        moved = _half(ground, label, rng)
        corpus, name = ground.labels[label].split("/", 1)
        other = str(rng.choice([one for one in corpora if one != corpus])) if across else corpus
        new = unused(f"{other}/{name}", taken)
        taken.add(new)
        old = ground.utterances.select(["utterance_id", "path"]).take(pa.array(moved)).to_pylist()
        columns["speaker_id"] += [new] * len(moved)
        told = ground.session[moved]
        columns["session_id"] += [
            None if one is None else f"{new}/{tail_of(one, ground.labels[label])}" for one in told
        ]
        if across:
            columns["utterance_id"] += [f"{other}/{row['utterance_id']}" for row in old]
            columns["path"] += [f"{corpus}/{row['path']}" for row in old]
            columns["corpus"] += [other] * len(moved)
        parts.append(moved)
        beside.append(ground.rows_of(label))
    rows = np.concatenate(parts)
    return change_of(rows, columns, [planting.split_to] * len(rows), beside)


def _half(ground: Ground, label: int, rng: np.random.Generator) -> Indices:
    """Whole sessions, as long as others are left, until half of the utterances is reached; of one session, half."""
    rows = ground.rows_of(label)
    names = ground.session[rows]
    sessions = sorted({name for name in names if name is not None})
    if len(sessions) < 2 or any(name is None for name in names):
        return np.sort(rng.choice(rows, len(rows) // 2, replace=False))
    taken: list[Any] = []
    for name in rng.permutation(np.array(sessions, dtype=object)).tolist()[:-1]:
        if 2 * np.isin(names, taken).sum() < len(rows):
            taken.append(name)
    return rows[np.isin(names, taken)]


def other_sex(ground: Ground, rng: np.random.Generator, planting: Planting) -> Change:
    """A label that says the other sex throughout."""
    sexes = ground.utterances["sex"].to_pylist()

    def says_one(rows: Indices) -> bool:
        return all(sexes[row] in OTHER_SEX for row in rows)

    parts = _labels_that(ground, rng, Fault.WRONG_SEX, planting.wrong_sex, says_one, "say a sex")
    rows = np.concatenate(parts)
    kinds = [f"{sexes[row]} to {OTHER_SEX[sexes[row]]}" for row in rows]
    return change_of(rows, {"sex": [OTHER_SEX[sexes[row]] for row in rows]}, kinds, parts)


def other_age(ground: Ground, rng: np.random.Generator, planting: Planting) -> Change:
    """A label whose ages are all off by so many years."""
    ages = {name: ground.utterances[name].to_pylist() for name in ("age_min_years", "age_max_years")}
    youngest, oldest = ages["age_min_years"], ages["age_max_years"]

    def years_off(rows: Indices) -> list[int]:
        if any(youngest[row] is None or oldest[row] is None for row in rows):
            return []
        low, high = min(youngest[row] for row in rows), max(oldest[row] for row in rows)
        years = range(YEARS_OFF[0], YEARS_OFF[1] + 1)
        return [y for y in years if high + y <= AGES[1]] + [-y for y in years if low - y >= AGES[0]]

    parts = _labels_that(ground, rng, Fault.WRONG_AGE, planting.wrong_age, lambda r: bool(years_off(r)), "say an age")
    off = [int(rng.choice(years_off(rows))) for rows in parts]
    years = [y for y, rows in zip(off, parts, strict=True) for _ in rows]
    rows = np.concatenate(parts)
    columns = {name: [values[row] + y for row, y in zip(rows, years, strict=True)] for name, values in ages.items()}
    return change_of(rows, columns, ["older" if y > 0 else "younger" for y in years], parts, [float(y) for y in years])


def _labels_that(
    ground: Ground, rng: np.random.Generator, fault: Fault, share: float, says: Callable[[Indices], bool], told: str
) -> list[Indices]:
    """The rows of as many labels as are asked for, of those that say it throughout."""
    num = number_of(fault, share, len(ground.labels), "labels")
    able = [label for label in ground.whole() if says(ground.rows_of(label))]
    if len(able) < num:
        raise PlantingError(f"{fault} {share}: {len(able)} labels of {num} {told}; expected a smaller share")
    return [ground.rows_of(label) for label in np.sort(rng.choice(able, num, replace=False)).tolist()]


# --------------------------------------------------------------------------------------------- faults of utterances


def scatter(ground: Ground, rng: np.random.Generator, planting: Planting) -> Change:
    """Single utterances under another label."""
    num = number_of(Fault.WRONG_SPEAKER, planting.wrong_speaker, len(ground.speaker), "utterances")
    way = planting.wrong_speaker_to
    sexes = ground.utterances["sex"].to_pylist()
    free_rows = {int(label): ground.rows_of(label)[ground.free[ground.rows_of(label)]] for label in ground.with_free()}
    group_of: dict[int, tuple[str, str | None]] = {}  # whom a label's utterances may go to: a corpus, or one sex of it
    for label in free_rows:
        sex = _only([sexes[row] for row in ground.rows_of(label)]) if way == "same_sex" else "any"
        if sex is not None:
            group_of[label] = (ground.corpus[label], sex)
    groups: dict[tuple[str, str | None], list[int]] = {}
    for label, group in group_of.items():
        groups.setdefault(group, []).append(label)
    has_other = {group: len(set(ground.person[labels])) > 1 for group, labels in groups.items()}
    able = [row for label, group in group_of.items() if has_other[group] for row in free_rows[label].tolist()]
    if len(able) < num:
        raise PlantingError(
            f"wrong_speaker {planting.wrong_speaker} ({way}): {len(able)} utterances of {num} are left whose corpus "
            "has somebody else to take them; expected a smaller share, or more people"
        )
    rows = np.sort(rng.choice(np.sort(able), num, replace=False))

    def taker(label: int) -> int:
        others = groups[group_of[label]]
        if way == "nearest":
            told = [other for other in others if ground.person[other] != ground.person[label]]
            return told[int(np.argmax(ground.alike[told] @ ground.alike[label]))]
        while True:  # most are others
            other = others[rng.integers(len(others))]
            if ground.person[other] != ground.person[label]:
                return other

    like = np.array([rng.choice(free_rows[taker(int(label))]) for label in ground.speaker[rows]])
    columns = as_said_of(ground, like) | {"session_id": ground.session[like].tolist()}
    return change_of(rows, columns, [way] * num, [])


def _only(values: list[Any]) -> Any:
    """The one value; None where there are several, or none is said."""
    said = set(values)
    return said.pop() if len(said) == 1 else None


PLANT: dict[Fault, Callable[[Ground, np.random.Generator, Planting], Change]] = {
    Fault.MIXED: mix,
    Fault.FOREIGN_SESSION: visit,
    Fault.SPLIT: split,
    Fault.WRONG_SEX: other_sex,
    Fault.WRONG_AGE: other_age,
    Fault.WRONG_SPEAKER: scatter,
}
