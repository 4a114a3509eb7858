"""What a test leaves behind below its run: what was said of every utterance, and pictures.

<run>/tests/<benchmark>-<split>/told.parquet           a row an utterance and task: what is said, and how surely
<run>/tests/<benchmark>-<split>/confusion_<task>.svg   of the utterances whose class is known
<run>/tests/<benchmark>-<split>/points.svg             the vectors of the split, by t-SNE
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks import pictures
from benchmarks.class_results import GROUP, SUBGROUP, Told
from benchmarks.sexes import SEXES
from curate.catalog import write_parquet
from flows import seeds
from models.data.labels import classes_of, codes, group_of_subgroup
from models.data.speech import Speech

MOST_POINTS = 2_000  # of a picture
NOBODY_KNOWS = "not known"
Vectors = NDArray[np.float32]


class Answer(NamedTuple):
    """What is said of one task, and how likely each of its classes is (U, K)."""

    told: Told
    likely: Vectors


def leave_behind(
    folder: Path,
    speech: Speech,
    told: Sequence[Answer],
    vectors: Vectors,
    scheme: str | None,
    *,
    title: str,
    seed: int,
) -> list[Path]:
    """All of it; `vectors` (U, D) are of unit length, `scheme` is that of ages by which they are coloured."""
    files = [*_write_told(folder, speech, told), *_draw_confusions(folder, told, title)]
    return [*files, *_draw_points(folder, speech, vectors, scheme, title=title, seed=seed)]


def _write_told(folder: Path, speech: Speech, told: Sequence[Answer]) -> list[Path]:
    """None of a system that tells nothing."""
    if not told:
        return []
    tables = []
    for one, likely in told:
        names, (num, size) = pa.array(one.classes, pa.string()), likely.shape
        likelihood = pa.MapArray.from_arrays(
            pa.array(np.arange(num + 1) * size, pa.int32()),
            names.take(pa.array(np.tile(np.arange(size), num))),
            pa.array(likely.ravel(), pa.float32()),
        )
        truth = names.take(pa.array(one.truth, mask=~one.is_known))
        columns = {"truth": truth, "said": names.take(pa.array(one.said)), "probability": likelihood}
        task = pa.array([one.task] * num, pa.string())
        tables.append(pa.table({"utterance_id": speech.utterance_ids, "task": task} | columns))
    write_parquet(folder / "told.parquet", pa.concat_tables(tables))
    return [folder / "told.parquet"]


def _draw_confusions(folder: Path, told: Sequence[Answer], title: str) -> list[Path]:
    """One of each task of which something is known."""
    return [
        pictures.save(
            pictures.confusion(one.confusion(), one.classes, title=f"{title}, {one.task}"),
            folder / f"confusion_{one.task}.svg",
        )
        for one, _ in told
        if one.is_known.any()
    ]


def _draw_points(
    folder: Path, speech: Speech, vectors: Vectors, scheme: str | None, *, title: str, seed: int
) -> list[Path]:
    """Of at most 2,000 utterances; where ages are known, half of these are of the youngest group, as in the age paper.

    None of fewer than five.
    """
    groups, colours, is_young = _coloured(speech, scheme)
    rng = np.random.default_rng([seed, seeds.INTERVALS, *b"points"])
    rows = np.arange(len(groups))
    if len(rows) > MOST_POINTS:
        young = _some(rows[is_young], MOST_POINTS // 2, rng)
        rows = np.sort(np.concatenate([young, _some(rows[~is_young], MOST_POINTS - len(young), rng)]))
    if len(rows) < pictures.LEAST_POINTS:
        return []
    at = pictures.on_plane(vectors[rows], seed=seed)
    figure = pictures.points(at, [groups[row] for row in rows], colours, title=title)
    return [pictures.save(figure, folder / "points.svg")]


def _some(rows: NDArray[np.int64], num: int, rng: np.random.Generator) -> NDArray[np.int64]:
    return rng.choice(rows, min(num, len(rows)), replace=False)


def _coloured(speech: Speech, scheme: str | None) -> tuple[list[str], dict[str, Any], NDArray[np.bool_]]:
    """By what each utterance is coloured, in which colours, and which are of the youngest group.

    That is the age, in shades; where no age is known the sex; and where that is not, the person.
    """
    nobody = np.zeros(len(speech), bool)
    if scheme is not None:
        names = classes_of(scheme)
        found = codes(speech, names, scheme)
        if (found[GROUP] >= 0).any():
            parts = _parts(names, scheme)
            told = [_age(group, part, names) for group, part in zip(found[GROUP], found[SUBGROUP], strict=True)]
            return told, pictures.shades(parts) | {NOBODY_KNOWS: pictures.NOT_KNOWN}, found[GROUP] == 0
    if any(speech.sex):
        return (
            [sex or NOBODY_KNOWS for sex in speech.sex],
            pictures.distinct(SEXES) | {NOBODY_KNOWS: pictures.NOT_KNOWN},
            nobody,
        )
    return [speech.people[code] for code in speech.person], pictures.distinct(speech.people), nobody


def _parts(names: Mapping[str, Sequence[str]], scheme: str) -> dict[str, list[str]]:
    """What is coloured of each group: its subgroups, and who is in none of them."""
    of_group = group_of_subgroup(scheme)
    return {
        group: [
            *(_age(code, part, names) for part, of in enumerate(of_group) if of == code),
            f"{group}, {NOBODY_KNOWS}",
        ]
        for code, group in enumerate(names[GROUP])
    }


def _age(group: int, part: int, names: Mapping[str, Sequence[str]]) -> str:
    if group < 0:
        return NOBODY_KNOWS
    return f"{names[GROUP][group]}, {names[SUBGROUP][part] if part >= 0 else NOBODY_KNOWS}"
