"""What two sides of a benchmark share: each split and each other, and each split and the lists of names that are given.

What is looked for, and how it is told:
- person, speaker, session: the identity, the label, the sitting (`speaker_id/session`, so of one label).
- recording: the bytes of the file, whatever it is called and whichever stretch or channel of it is used; its corpus and
  path where the bytes are not known.
- samples: the samples of an utterance as an extractor was given them (SOUND_PRINTS).
- near_duplicate: the same recording changed or cut, as `curate.duplicates` tells it. Not asked of the same samples.
  Recordings with fewer landmarks than must agree are not counted among what there is to compare.
- transcript: its words without case and punctuation, if they are `MIN_WORDS` or more: shorter ones are said by anybody.
  A letter of a script that is written without blanks counts as a word. Read corpora repeat their prompts, so that it is
  told, and allowed.
- voice: two people of two splits whose mean vectors are as alike as one person's. Some are found by chance: as many as
  the rate allows that thresholds are calibrated for.
- named: what a list names, as `curate.exclusions` matches it. A list that names nothing of all that is known is an
  error: it calls things by other names, and nothing would be compared. Kaldi trained on 60 test speakers that way
  (kaldi-asr/kaldi#2690).

0 on a side means that nothing is known there: nothing was compared, which is not the same as clean.

Of ten million utterances a column of names or hashes takes up to a gigabyte: columns are read check by check, and what
a check needs is let go before the next.

Shapes: N utterances of splits, in the order of ids; K things that they may share.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.alike import Alike, alike_people, alike_recordings, nothing_known
from benchmarks.protocol import Protocol
from curate.catalog import rows_of
from curate.codes import give_back, in_one, in_order
from curate.errors import CorpusError
from curate.exclusions import Exclusions
from curate.labels import Columns
from curate.marks import Prints
from curate.schema import LEAKS
from curate.sides import Pair, ordered
from curate.similarity import Indices, Scores, Vectors

PERSON, SPEAKER, SESSION, RECORDING = "person", "speaker", "session", "recording"
SAMPLES, NEAR_DUPLICATE, TRANSCRIPT, VOICE, NAMED = "samples", "near_duplicate", "transcript", "voice", "named"
CHECKS = (PERSON, SPEAKER, SESSION, RECORDING, SAMPLES, NEAR_DUPLICATE, TRANSCRIPT, VOICE, NAMED)
OF_PEOPLE = (PERSON, SPEAKER, VOICE)  # what splits share that may share people
OF_SITTINGS = (SESSION, RECORDING)  # and, where utterances are drawn one by one, these
MIN_WORDS = 8  # of a transcript
NUM_EXAMPLES = 3
CHARACTERS_OF_KEY = 60  # of a transcript in an example

_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_WORD = rf"[{_UNSPACED}]|[^ {_UNSPACED}]+"
_NAMES = ["corpus", "utterance_id", "speaker_id", "session_id", "path"]  # that lists may use

Allowed = frozenset[tuple[str, str, str]]  # a check and two sides in order
Voices = Callable[[], tuple[pa.ChunkedArray, Vectors]]  # ids and vectors (M, D), which may be written over


@dataclass(frozen=True, kw_only=True)
class Shared:
    """What two sides share, as LEAKS has it."""

    num_side: int
    num_other: int
    num_unknown: int = 0
    num_shared: int
    num_utterances: int
    num_other_utterances: int | None = None
    examples: Sequence[str]


Find = Callable[[str, str], Shared]
Sides = Mapping[str, Indices]  # of each split the places of its utterances, ascending


def leaks(
    benchmark: str,
    splits: pa.Table,
    utterances: Columns,
    *,
    sound_prints: Prints | None = None,
    vectors: Voices | None = None,
    lists: Mapping[str, Exclusions] | None = None,
    allowed: Allowed = frozenset(),
    threshold: float | Mapping[str, float] | None = None,
    apart: Collection[Pair] = (),
) -> pa.Table:
    """LEAKS of a benchmark: one row for each check and two of its `splits` (SPLITS), and for each list and split.

    `utterances` gives columns of UTTERANCES under settled labels, of a table its `select`. Those in no split only serve
    to tell whether a list speaks of this catalog at all. `threshold` is the least mean cosine of one person, or that of
    each corpus, of which the strictest counts. `apart` are pairs of identity_id, in order, that reviewers keep apart.
    Without sound prints, and without vectors and a threshold, there is 0 to compare. The order of rows does not matter.

    Raises ValueError for an utterance of a split that is not given, CorpusError for a list that names nothing.
    """
    splits = in_order(splits.select(["utterance_id", "identity_id", "split"]), "utterance_id")
    ids = in_one(splits["utterance_id"])
    place = _places(ids, utterances(["utterance_id"])["utterance_id"])
    if (place < 0).any():
        raise ValueError(f"{ids[int(place.argmin())]}: in a split of {benchmark}, but not among the utterances given")
    names = sorted(pc.unique(splits["split"]).to_pylist())
    side = pc.index_in(splits["split"], value_set=pa.array(names, pa.string())).to_numpy().astype(np.int64)
    sides = {name: np.flatnonzero(side == number) for number, name in enumerate(names)}
    person = in_one(splits["identity_id"])
    of_print = _places(ids, None if sound_prints is None else sound_prints.columns(["utterance_id"])["utterance_id"])

    def told(column: str) -> Keys:
        return _numbered(utterances([column])[column]).of(place)

    def samples() -> Keys:
        return _numbered(_taken(sound_prints, "samples_sha256", of_print))

    def alike_in_sound() -> Alike:
        if sound_prints is None:
            return nothing_known(len(ids))
        number, marks = samples().number, sound_prints.landmarks()
        give_back()
        return alike_recordings(number, side, marks, of_print)

    def alike_in_voice() -> Alike:
        if vectors is None or threshold is None:
            return nothing_known(len(ids))
        number, least = _numbered(person).number, _least(told("corpus"), threshold)
        known, given = vectors()
        return alike_people(number, side, given, _places(ids, known), least)

    finds: dict[str, Callable[[], Find]] = {
        PERSON: lambda: _by_key(_numbered(person), ids, sides, is_shown=True),
        SPEAKER: lambda: _by_key(told("speaker_id"), ids, sides, is_shown=True),
        SESSION: lambda: _by_key(told("session_id"), ids, sides, is_shown=True),
        RECORDING: lambda: _by_key(_recordings(utterances).of(place), ids, sides),
        SAMPLES: lambda: _by_key(samples(), ids, sides),
        NEAR_DUPLICATE: lambda: _by_pairs(alike_in_sound(), ids, sides, "{:.0f} landmarks agree"),
        TRANSCRIPT: lambda: _by_key(_transcripts(utterances).of(place), ids, sides, is_shown=True),
        VOICE: lambda: _by_pairs(alike_in_voice(), person, sides, "cosine {:.3f}", apart=frozenset(apart)),
    }
    found: dict[tuple[str, str, str], Shared] = {}
    for check in finds if len(sides) > 1 else ():
        find = finds[check]()
        found |= {(check, one, other): find(one, other) for one, other in combinations(sides, 2)}
        del find
        give_back()
    for name, entries in (lists or {}).items():
        for split, shared in _named(name, entries, utterances, side, place, names).items():
            found[NAMED, split, name] = shared
    return rows_of(LEAKS, [_row(benchmark, key, shared, allowed) for key, shared in found.items()])


def allowed_by(protocol: Protocol) -> Allowed:
    """What its splits may share: `shares_people` says it of people, and of sittings where either draws utterances.

    A list is about the splits that `keep_apart` holds against it: others may have what it names.
    """
    found: set[tuple[str, str, str]] = set()
    for split in protocol.splits:
        for other in split.shares_people:
            units = {one.unit for one in protocol.splits if one.name in (split.name, other)}
            checks = OF_PEOPLE + (OF_SITTINGS if "utterances" in units else ())
            found.update((check, *ordered(split.name, other)) for check in checks)
    lists = {one.list for one in protocol.keep_apart if one.list is not None}
    for name in lists:
        losing = {one.split for one in protocol.keep_apart if one.list == name}
        found.update((NAMED, split.name, name) for split in protocol.splits if split.name not in losing)
    return frozenset(found)


def words(transcripts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Words in Unicode's composed form (NFKC) and lower case, a blank between; null where they are too few to tell."""
    plain = pc.utf8_lower(pc.utf8_normalize(transcripts, form="NFKC"))
    plain = pc.replace_substring_regex(plain, r"['’ʼ]", "")
    plain = pc.utf8_trim_whitespace(pc.replace_substring_regex(plain, r"[^\p{L}\p{M}\p{N}]+", " "))
    is_enough = pc.greater_equal(pc.count_substring_regex(plain, _WORD), MIN_WORDS)
    return pc.if_else(is_enough, plain, pa.scalar(None, pa.string()))


@dataclass(frozen=True)
class Keys:
    """Of each row the number of its key, -1 for null; and the keys by number."""

    number: Indices
    texts: pa.Array

    def of(self, place: Indices) -> "Keys":
        """Those of the rows at these places."""
        return Keys(self.number[place], self.texts)


def _recordings(utterances: Columns) -> Keys:
    """What is one file: its hash, or else its name."""
    rows = utterances(["content_sha256", "corpus", "path"])
    if not rows["content_sha256"].null_count:
        return _numbered(rows["content_sha256"])
    named = pc.binary_join_element_wise(rows["corpus"], rows["path"], "/")
    return _numbered(pc.coalesce(rows["content_sha256"], named))


def _transcripts(utterances: Columns) -> Keys:
    return _numbered(words(utterances(["transcript"])["transcript"]))


def _row(benchmark: str, key: tuple[str, str, str], shared: Shared, allowed: Allowed) -> dict[str, object]:
    check, side, other = key
    told = asdict(shared) | {"examples": "\n".join(shared.examples) or None}
    is_allowed = check == TRANSCRIPT or key in allowed
    return {"benchmark": benchmark, "check": check, "side": side, "other_side": other, "is_allowed": is_allowed} | told


def _places(ids: pa.Array, known: pa.ChunkedArray | None) -> Indices:
    """Where among those that are known each utterance is; -1 where it is not."""
    if known is None:
        return np.full(len(ids), -1)
    place = pc.index_in(ids, value_set=in_one(known))
    found: Indices = pc.fill_null(place, -1).to_numpy().astype(np.int64)
    return found


def _taken(prints: Prints | None, column: str, place: Indices) -> pa.ChunkedArray:
    if prints is None:
        return pa.chunked_array([pa.nulls(len(place), pa.string())])
    return prints.columns([column])[column].take(pa.array(place, mask=place < 0))


def _numbered(keys: pa.Array | pa.ChunkedArray) -> Keys:
    """Numbers in the order in which the keys come."""
    encoded = in_one(keys.cast(pa.large_string())).dictionary_encode()  # all transcripts may be more than 2 GB
    number: Indices = pc.fill_null(encoded.indices, -1).to_numpy().astype(np.int64)
    return Keys(number, encoded.dictionary)


def _least(corpora: Keys, threshold: float | Mapping[str, float]) -> Scores:
    """(N,) what each utterance's corpus asks of one person; the most of all where nobody says it of that corpus."""
    if isinstance(threshold, Mapping):
        most = max(threshold.values())
        asked = np.array([threshold.get(corpus, most) for corpus in corpora.texts.to_pylist()], np.float64)
        return asked[corpora.number]
    return np.full(len(corpora.number), threshold)


def _by_key(keys: Keys, ids: pa.Array, sides: Sides, *, is_shown: bool = False) -> Find:
    """What has one key on both sides; the key `is_shown` in examples where it says something. O(N + K) time."""
    number, texts = keys.number, keys.texts
    present = {}
    for name, rows in sides.items():
        present[name] = np.zeros(len(texts) + 1, np.bool_)  # the last one is for null
        present[name][number[rows]] = True
        present[name][-1] = False

    def find(side: str, other: str) -> Shared:
        is_shared = present[side] & present[other]
        mine, others = (rows[is_shared[number[rows]]] for rows in (sides[side], sides[other]))
        examples = []
        for row in mine[np.sort(np.unique(number[mine], return_index=True)[1])][:NUM_EXAMPLES].tolist():
            there = others[(number[others] == number[row]).argmax()]
            shown = f"{_short(texts[int(number[row])].as_py())}: " if is_shown else ""
            examples.append(f"{shown}{ids[row]} | {ids[int(there)]}")
        return Shared(
            num_side=int(present[side].sum()),
            num_other=int(present[other].sum()),
            num_unknown=sum(int((number[sides[name]] < 0).sum()) for name in (side, other)),
            num_shared=int(is_shared.sum()),
            num_utterances=len(mine),
            num_other_utterances=len(others),
            examples=examples,
        )

    return find


def _short(text: str) -> str:
    return text if len(text) <= CHARACTERS_OF_KEY else f"{text[: CHARACTERS_OF_KEY - 1]}…"


def _by_pairs(alike: Alike, shown: pa.Array, sides: Sides, score: str, apart: frozenset[Pair] = frozenset()) -> Find:
    """Pairs of things but for those `apart`; in examples as `shown` (N,) calls the first utterance of each."""
    order = np.lexsort((alike.other, alike.one, -alike.score))
    number = {name: place for place, name in enumerate(sides)}
    num_things = {name: int(alike.can_be_told[alike.side == number[name]].sum()) for name in sides}
    is_known = np.append(alike.can_be_told, False)[alike.thing]

    def called(thing: int) -> str:
        return str(shown[int(alike.first[thing])])

    def find(side: str, other: str) -> Shared:
        is_here = (alike.side[alike.one] == number[side]) & (alike.side[alike.other] == number[other])
        pairs = [(called(alike.one[at]), called(alike.other[at]), at) for at in order[is_here[order]]]
        pairs = [(one, two, at) for one, two, at in pairs if ordered(one, two) not in apart]
        is_touched = np.zeros(len(alike.side) + 1, np.bool_)  # the last one is for what is not known
        for things in (alike.one, alike.other):
            is_touched[things[[at for *_, at in pairs]]] = True
        examples = [f"{one} | {two} ({score.format(alike.score[at])})" for one, two, at in pairs[:NUM_EXAMPLES]]
        return Shared(
            num_side=num_things[side],
            num_other=num_things[other],
            num_unknown=sum(int((~is_known[sides[name]]).sum()) for name in (side, other)),
            num_shared=len(pairs),
            num_utterances=int(is_touched[alike.thing[sides[side]]].sum()),
            num_other_utterances=int(is_touched[alike.thing[sides[other]]].sum()),
            examples=examples,
        )

    return find


def _named(
    name: str, entries: Exclusions, utterances: Columns, side: Indices, place: Indices, splits: list[str]
) -> dict[str, Shared]:
    """What a list names in each split, of which the utterances `place` (N,) are on `side` (N,).

    Raises CorpusError where it names nothing, not even among those of no split.
    """
    every = utterances(_NAMES)
    side_of_all = np.full(len(every), -1)
    side_of_all[place] = side
    found = {}
    for number in range(-1, len(splits)):
        rows = every.filter(pa.array(side_of_all == number))
        here, num = replace(entries, matched=set()), 0
        for corpus in rows["corpus"].unique().to_pylist():
            for batch in rows.filter(pc.equal(rows["corpus"], corpus)).combine_chunks().to_batches():
                num += pc.sum(here.match(batch)).as_py()
        entries.matched.update(here.matched)
        if number >= 0:
            found[splits[number]] = Shared(
                num_side=len(rows),
                num_other=len(entries.entries),
                num_shared=len(here.matched),
                num_utterances=num,
                examples=sorted(here.matched)[:NUM_EXAMPLES],
            )
    if not entries.matched:
        example = f", such as {every['utterance_id'][0]}" if len(every) else ""
        raise CorpusError(
            f"{name}: matches nothing: none of its {len(entries.entries)} entries, such as {entries.first!r}, is a "
            f"speaker, session or file of the {len(every)} utterances{example}; expected names as the catalog has"
        )
    return found
