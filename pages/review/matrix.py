"""The cosines of a few speakers' utterances with one another, as bytes for a canvas."""

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.closeness import Closeness
from pages.review.shown import Tables

MAX_SHOWN = 2_000
FULL = 127  # a cosine of 1


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The utterances of a matrix, speaker by speaker in the order of ids, and of how many they are."""

    utterance_ids: list[str]
    marked: list[str]  # among them
    groups: list[tuple[str, int]]  # speakers, and how many of each
    num_all: int


def chosen(tables: Tables, speakers: Sequence[str], always: Sequence[str] = (), most: int = MAX_SHOWN) -> Chosen:
    """Of these speakers as many utterances each; of one with more than his share some, evenly, and `always` those."""
    ids, groups, num_all = [], [], 0
    left = most
    sizes = {speaker: len(tables.utterances_of(speaker)) for speaker in dict.fromkeys(speakers)}
    for turn, speaker in enumerate(sorted(sizes, key=lambda one: sizes[one])):  # small ones leave room for the others
        sizes[speaker], whole = min(sizes[speaker], left // (len(sizes) - turn)), sizes[speaker]
        left -= sizes[speaker]
        num_all += whole
    for speaker, share in sizes.items():
        of_speaker = pc.sort_indices(tables.utterances_of(speaker)["utterance_id"])
        mine = tables.utterances_of(speaker)["utterance_id"].take(of_speaker)
        kept = _some(mine, share, always)
        ids += kept
        groups.append((speaker, len(kept)))
    marked = [one for one in dict.fromkeys(always) if one in set(ids)]
    return Chosen(utterance_ids=ids, marked=marked, groups=groups, num_all=num_all)


def _some(ids: pa.ChunkedArray, num: int, always: Sequence[str]) -> list[str]:
    """So many of them in their order, evenly, but those of `always` that are among them for certain."""
    places = evenly(num, len(ids))
    asked = pc.indices_nonzero(pc.is_in(ids, value_set=pa.array(always, pa.string()))).to_numpy().astype(np.int64)
    missing = np.setdiff1d(asked, places)[:num]
    if len(missing):
        free = np.flatnonzero(~np.isin(places, asked))
        places[free[:: max(len(free) // len(missing), 1)][: len(missing)]] = missing
    found: list[str] = ids.take(pa.array(np.sort(places))).to_pylist()
    return found


def evenly(num: int, num_all: int) -> NDArray[np.int64]:
    """So many places among all, the first being 0."""
    return np.arange(num) * num_all // max(num, 1)


def packed(these: Chosen, closeness: Closeness) -> bytes:
    """The length of a JSON in four bytes (little-endian), the JSON that names rows and groups, then the cosines.

    What has no vector is left out. Raises CatalogError where nothing can be compared.
    """
    cosines = closeness.matrix(these.utterance_ids)
    heard = ~np.isnan(np.diagonal(cosines))
    ends = np.cumsum([0, *(count for _, count in these.groups)])
    groups = [
        (speaker, int(heard[start:end].sum()))
        for (speaker, _), start, end in zip(these.groups, ends, ends[1:], strict=False)
    ]
    ids = [one for one, is_heard in zip(these.utterance_ids, heard.tolist(), strict=True) if is_heard]
    told = {
        "ids": ids,
        "marked": [one for one in these.marked if one in set(ids)],
        "groups": [group for group in groups if group[1]],
        "num_all": these.num_all,
        "num_unheard": len(heard) - len(ids),
    }
    text = json.dumps(told, ensure_ascii=False).encode()
    return struct.pack("<I", len(text)) + text + as_bytes(cosines[np.ix_(heard, heard)])


def as_bytes(cosines: NDArray[np.float32]) -> bytes:
    """(n, n) cosines as signed bytes: 127 is 1, -127 is -1."""
    return np.rint(np.clip(cosines, -1, 1) * FULL).astype(np.int8).tobytes()
