"""A catalog of millions of utterances as `curate run` leaves it once all is embedded, made up a few speakers at a time.

    python -m benchmarks.speed.load make FOLDER --utterances 10_000_000 --speakers 200_000

It holds corpora, utterances, embeddings, sound prints and the verdicts of `ingest` and `embed`; beside it lies
`load.toml`, the pipeline file. There is no audio: what begins with the step after `embed` can be carried out.

People are unit vectors with a common direction, as voices have. An utterance is its person with noise of its own and of
its sitting, so that two of one person have a cosine of about 0.65, of two people 0.1. Planted are labels that are one
person, wrong labels, labels of two people, copies, and files that are unfit. How many utterances a label has varies as
in corpora from the web; every seventh has fewer than a third of the mean.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.blocks import fixed_size_lists
from curate.catalog import Catalog, Sorted
from curate.decisions import Author, verdicts
from curate.landmarks import APART_BITS, FREQUENCY_BITS, HIGH, LOW, MAX_APART_BINS, PARTNER_BITS
from curate.reasons import Reason, Subject, Verdict
from curate.schema import CORPORA, DECISIONS, EMBEDDINGS, SOUND_PRINTS, UTTERANCES

Indices = NDArray[np.int64]
Flags = NDArray[np.bool_]

EXTRACTOR = "ge2e"
# Shares of the speakers; what is said of sex, age and words differs between corpora. The names are in order.
CORPUS_SHARES = {"calls": 0.1, "read": 0.2, "talks": 0.05, "video-a": 0.4, "video-b": 0.25}
HAS_SEX, HAS_AGE, HAS_TEXT = {"calls", "read", "video-a", "video-b"}, {"calls", "read"}, {"read"}
UTTERANCES_A_SESSION = 8
COMMON, NOISE_OF_SESSION, NOISE = 0.35, 0.35, 0.6  # lengths, of a person's 1
DOUBLE_LABELS, MIXED_LABELS, WRONG_LABELS, COPIES = 0.01, 0.003, 0.01, 0.001  # shares of labels, or of utterances
DAMAGED, UNHEARD = 0.001, 0.0005
WORDS = np.array(["one", "two", "three", "and", "of", "the", "a", "to", "in", "that", "is", "was", "for"])
PIPELINE = """\
name = "load"
catalog = "catalog"
seed = 1
{corpora}
[embedding]
extractor = "{extractor}"

[identities]
max_false_merge_rate = 1e-7  # among so many labels 1e-3, which is right for a thousand, would be millions of pairs

[splits]
num_test_speakers = {num_test_speakers}
test_from = ["video-a", "video-b"]

[trials]
max_targets = {num_trials}
max_nontargets = {num_trials}
"""
CORPUS = """
[[corpora]]
name = "{name}"
reader = "folder"
root = "corpora/{name}"
damaged = "keep"
"""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Who speaks how much in which corpus; small beside the utterances, and all that is held."""

    seed: int
    dimension: int
    landmarks_a_second: float
    corpus: dict[str, range]  # the labels of each
    count: Indices  # (S,) utterances under each label
    person: Indices  # (S,) who it is: another label of the same person, or itself
    second: Indices  # (S,) who else speaks under it; -1 for nobody
    is_male: Flags  # (S,) of the person
    voice: NDArray[np.float32]  # (S, D)

    def chunks(self, corpus: str, num_utterances: int = 1 << 14) -> Iterator[range]:
        """Labels that have about so many utterances."""
        labels = self.corpus[corpus]
        total = np.cumsum(self.count[labels.start : labels.stop])
        start = 0
        while start < len(labels):
            done = total[start - 1] if start else 0
            stop = max(start + 1, int(np.searchsorted(total, done + num_utterances, side="right")))
            yield labels[start:stop]
            start = stop


def planned(num_utterances: int, num_speakers: int, *, dimension: int, landmarks_a_second: float, seed: int) -> Plan:
    """A plan for so many; at least 20 labels."""
    rng = np.random.default_rng([seed, num_utterances])
    bounds = np.rint(np.cumsum([0, *CORPUS_SHARES.values()]) * num_speakers).astype(int).tolist()
    share = rng.gamma(2.0, size=num_speakers)
    count = 1 + rng.multinomial(num_utterances - num_speakers, share / share.sum())
    common = rng.standard_normal(dimension)
    voice = _directions(rng.standard_normal((num_speakers, dimension)))
    voice = _directions(voice + COMMON / np.linalg.norm(common) * common)
    person, second = np.arange(num_speakers), np.full(num_speakers, -1)
    double, mixed = (rng.random(num_speakers) < rate for rate in (DOUBLE_LABELS, MIXED_LABELS))
    person[double] = rng.integers(num_speakers, size=double.sum())
    person = person[person]  # who is two is not three
    second[mixed] = rng.integers(num_speakers, size=mixed.sum())
    is_male = rng.random(num_speakers) < 0.5
    return Plan(
        seed=seed,
        dimension=dimension,
        landmarks_a_second=landmarks_a_second,
        corpus=dict(zip(CORPUS_SHARES, map(range, bounds, bounds[1:]), strict=False)),
        count=count,
        person=person,
        second=second,
        is_male=is_male[person],
        voice=voice.astype(np.float32),
    )


def make(folder: Path, plan: Plan) -> Path:
    """Write the catalog and its pipeline file; say where that is."""
    catalog = Catalog(folder / "catalog")
    folder.mkdir(parents=True, exist_ok=True)
    terms = {"corpus": list(plan.corpus), "reader": ["folder"] * len(plan.corpus)}
    roots = [str(folder / "corpora" / name) for name in plan.corpus]
    catalog.publish(CORPORA, CORPORA.rows(terms | {"root": roots}), fingerprint="made")
    unheard = []
    for name in plan.corpus:
        catalog.publish(UTTERANCES, _in_chunks(plan, [name], _utterances), part=name, fingerprint="made")
        unfit = [_unfit(chunk) for chunk in _chunks(plan, [name])]
        catalog.publish(DECISIONS, pa.concat_tables(unfit), part=f"ingest-{name}", fingerprint="made")
        unheard += [_unheard(chunk) for chunk in _chunks(plan, [name])]
    catalog.publish(DECISIONS, pa.concat_tables(unheard), part="embed", fingerprint="made")
    for table, rows in ((EMBEDDINGS, _embeddings), (SOUND_PRINTS, _sound_prints)):
        catalog.publish(table, _in_chunks(plan, list(plan.corpus), rows), part=EXTRACTOR, fingerprint="made")
    file = folder / "load.toml"
    text = PIPELINE.format(
        corpora="".join(CORPUS.format(name=name) for name in plan.corpus),
        extractor=EXTRACTOR,
        num_test_speakers=2 * max(5, len(plan.count) // 40),
        num_trials=max(1_000, int(plan.count.sum()) // 10),
    )
    file.write_text(text, encoding="utf-8")
    return file


@dataclass(frozen=True)
class Chunk:
    """All utterances of a few labels, in the order of ids."""

    plan: Plan
    corpus: str
    labels: range

    def rng(self, subject: int) -> np.random.Generator:
        """What is drawn for one table does not move what is drawn for another."""
        return np.random.default_rng([self.plan.seed, len(self.plan.count), self.labels.start, subject])

    @property
    def label(self) -> Indices:
        """(N,)."""
        return np.repeat(np.arange(self.labels.start, self.labels.stop), self.count)

    @property
    def count(self) -> Indices:
        """(S,)."""
        return self.plan.count[self.labels.start : self.labels.stop]

    @property
    def turn(self) -> Indices:
        """(N,) of each among its label's, from 0."""
        found: Indices = np.arange(self.count.sum()) - np.repeat(np.cumsum(self.count) - self.count, self.count)
        return found

    @property
    def ids(self) -> pa.Array:
        """`corpus/s0000001/v001/u00001`."""
        return pc.binary_join_element_wise(self.sessions, "u", _padded(self.turn, 5), "")

    @property
    def speakers(self) -> pa.Array:
        """`corpus/s0000001`."""
        return pc.binary_join_element_wise(f"{self.corpus}/s", _padded(self.label, 7), "")

    @property
    def sessions(self) -> pa.Array:
        """`corpus/s0000001/v001/`: with the last stroke."""
        visit = _padded(self.turn // UTTERANCES_A_SESSION, 3)
        return pc.binary_join_element_wise(self.speakers, pc.binary_join_element_wise("/v", visit, "/", ""), "")

    @property
    def duration_s(self) -> NDArray[np.float64]:
        """(N,) of whole samples of 16 kHz."""
        found: NDArray[np.float64] = np.rint(16_000 * self.rng(0).gamma(4.0, 1.5, len(self.label)) + 8_000) / 16_000
        return found

    @property
    def is_unfit(self) -> Flags:
        """(N,)."""
        return self.rng(1).random(len(self.label)) < DAMAGED

    @property
    def is_heard(self) -> Flags:
        """(N,)."""
        return ~self.is_unfit & (self.rng(2).random(len(self.label)) >= UNHEARD)

    @property
    def is_copy(self) -> Flags:
        """(N,) of the samples of the one before it."""
        is_copy = self.rng(3).random(len(self.label)) < COPIES
        is_copy[:1] = False
        return is_copy


def _chunks(plan: Plan, corpora: list[str]) -> Iterator[Chunk]:
    return (Chunk(plan, name, labels) for name in corpora for labels in plan.chunks(name))


def _in_chunks(plan: Plan, corpora: list[str], rows: Callable[[Chunk], pa.Table]) -> Sorted:
    return Sorted(lambda: (batch for chunk in _chunks(plan, corpora) for batch in rows(chunk).to_batches()))


def _utterances(chunk: Chunk) -> pa.Table:
    rng, num, name, ids = chunk.rng(4), len(chunk.label), chunk.corpus, chunk.ids
    unfit, duration_s = chunk.is_unfit, chunk.duration_s
    sex = np.where(chunk.plan.is_male[chunk.label], "male", "female")
    youngest = np.random.default_rng([chunk.plan.seed, 5]).integers(8, 80, len(chunk.plan.count))[chunk.label]
    text = WORDS[rng.integers(len(WORDS), size=(num, 20))]
    inside = pc.utf8_slice_codeunits(ids, len(name) + 1)
    whole = pa.array(unfit)
    return UTTERANCES.rows(
        {
            "utterance_id": ids,
            "corpus": pa.repeat(name, num),
            "speaker_id": chunk.speakers,
            "session_id": pc.utf8_slice_codeunits(chunk.sessions, 0, -1),
            "path": pc.binary_join_element_wise(inside, ".flac", ""),
            "start_s": np.zeros(num),
            "duration_s": pa.array(duration_s, mask=unfit),
            "sample_rate_hz": pa.array(np.full(num, 16_000), mask=unfit),
            "num_channels": pa.array(np.ones(num, np.int64), mask=unfit),
            "num_samples": pa.array(np.rint(16_000 * duration_s).astype(np.int64), mask=unfit),
            "peak_dbfs": pa.array(rng.uniform(-20, 0, num).astype(np.float32), mask=unfit),
            "content_sha256": _hashes(rng, num),
            "damage": pc.if_else(whole, "unreadable", pa.scalar(None, pa.string())),
            **({"sex": sex} if name in HAS_SEX else {}),
            **({"age_min_years": youngest, "age_max_years": youngest} if name in HAS_AGE else {}),
            **({"age_source": pa.repeat("speakers.csv", num)} if name in HAS_AGE else {}),
            **({"transcript": [" ".join(words) for words in text.tolist()]} if name in HAS_TEXT else {}),
            "language": pa.repeat("en", num),
            "licence": pa.repeat("CC-BY-4.0", num),
        }
    )


def _embeddings(chunk: Chunk) -> pa.Table:
    plan, rng, label = chunk.plan, chunk.rng(6), chunk.label
    turn, heard = chunk.turn, chunk.is_heard
    person = plan.person[label]
    is_guests = (plan.second[label] >= 0) & (turn // UTTERANCES_A_SESSION % 3 == 2)
    person[is_guests] = plan.second[label][is_guests]
    mine = plan.corpus[chunk.corpus]
    wrong = rng.random(len(label)) < WRONG_LABELS
    person[wrong] = plan.person[rng.integers(mine.start, mine.stop, int(wrong.sum()))]
    begins = np.flatnonzero(turn % UTTERANCES_A_SESSION == 0)
    session = np.repeat(np.arange(len(begins)), np.diff(np.append(begins, len(label))))
    shape = (len(label), plan.dimension)
    at_length_one = np.float32(1 / np.sqrt(plan.dimension))
    vectors = plan.voice[person] + NOISE * at_length_one * rng.standard_normal(shape, np.float32)
    of_session = rng.standard_normal((len(begins), plan.dimension), np.float32)
    vectors += NOISE_OF_SESSION * at_length_one * of_session[session]
    copies = np.flatnonzero(chunk.is_copy)
    vectors[copies] = vectors[copies - 1]
    ids = chunk.ids.filter(pa.array(heard))
    columns = [ids, pa.repeat(EXTRACTOR, len(ids)), fixed_size_lists(_directions(vectors[heard]))]
    return pa.table(columns, ["utterance_id", "extractor", "vector"])


def _sound_prints(chunk: Chunk) -> pa.Table:
    """A copy has the same samples, or the landmarks of the one before it and a few of its own."""
    rng, heard, is_copy = chunk.rng(7), chunk.is_heard, chunk.is_copy
    is_same = is_copy & (rng.random(len(is_copy)) < 0.5)
    from_row = np.arange(len(is_copy)) - is_copy
    hashes = _hashes(rng, len(is_copy)).take(pa.array(np.where(is_same, from_row, np.arange(len(is_copy)))))
    num_peaks = np.rint(chunk.duration_s * chunk.plan.landmarks_a_second / 3).astype(np.int64)
    landmarks = pa.ListArray.from_arrays(
        pa.array(np.append(0, np.cumsum(3 * num_peaks)), pa.int32()), _landmarks(rng, num_peaks, chunk.duration_s)
    )
    rows = {
        "utterance_id": chunk.ids,
        "extractor": pa.repeat(EXTRACTOR, len(is_copy)),
        "samples_sha256": hashes,
        "landmarks": landmarks.take(pa.array(from_row)),
    }
    return SOUND_PRINTS.rows(rows).filter(pa.array(heard))


def _landmarks(rng: np.random.Generator, num_peaks: Indices, duration_s: NDArray[np.float64]) -> Indices:
    """Of each utterance its peaks with three partners each, ascending, as `curate.landmarks` lays them out."""
    row = np.repeat(np.arange(len(num_peaks)), num_peaks)
    bins = (HIGH - LOW) // 2
    first = rng.integers(bins, size=len(row))[:, None]
    frame = (rng.random(len(row)) * 100 * duration_s[row]).astype(np.int64)[:, None]
    partner = (first + rng.integers(-MAX_APART_BINS // 2, MAX_APART_BINS // 2, size=(len(row), 3))).clip(0, bins - 1)
    apart = rng.integers(1, 1 << APART_BITS, size=(len(row), 3))
    told = first << PARTNER_BITS | partner << APART_BITS | apart
    bits = FREQUENCY_BITS + PARTNER_BITS + 32  # of one landmark; the row goes before it, and all are sorted at once
    values = np.sort(((row[:, None] << bits) | told << 32 | frame).ravel())
    found: Indices = values & ((1 << bits) - 1)
    return found


def _unfit(chunk: Chunk) -> pa.Table:
    author = Author(rule="limits of the corpus", step="ingest", run_id="made")
    ids = chunk.ids.filter(pa.array(chunk.is_unfit))
    return verdicts(author, Subject.UTTERANCE, ids, verdict=Verdict.DROP, reason=Reason.UNREADABLE)


def _unheard(chunk: Chunk) -> pa.Table:
    author = Author(rule=f"extractor {EXTRACTOR}", step="embed", run_id="made")
    ids = chunk.ids.filter(pa.array(~chunk.is_unfit & ~chunk.is_heard))
    return verdicts(author, Subject.UTTERANCE, ids, verdict=Verdict.DROP, reason=Reason.NO_SPEECH)


def _padded(numbers: Indices, digits: int) -> pa.Array:
    return pc.utf8_slice_codeunits(pa.array(numbers + 10**digits).cast(pa.string()), 1)


def _hashes(rng: np.random.Generator, num: int) -> pa.Array:
    """Sixty-four hexadecimal digits each."""
    text = pa.py_buffer(rng.bytes(32 * num).hex().encode())
    return pa.StringArray.from_buffers(num, pa.py_buffer(np.arange(0, 64 * num + 1, 64, dtype=np.int32)), text)


def _directions(vectors: NDArray[np.floating]) -> NDArray[np.floating]:
    found: NDArray[np.floating] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return found
