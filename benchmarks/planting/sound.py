"""Plant what recordings can be wrong in: which utterances, in what way, and the samples that this makes of theirs.

- noise: white, at the SNR asked for. White noise is what every encoder is trained against least; babble would be
  somebody else's speech, which is another fault.
- tones: music-like, chords of a pentatonic scale with four harmonics each that die away, at the SNR asked for.
- clipping: the loudest sample goes so many dB beyond full scale, and everything beyond is cut.
- silence: noise of -80 dBFS in place of the speech, as of a microphone that was off.
- duplicate: the same audio once more, by another gain, through half the rate and back, through a lossy codec (Ogg
  Vorbis), or without its first second (of less than four seconds, its first quarter).

An SNR is the ratio of mean powers over the whole utterance, pauses included. What would go beyond full scale by noise
or tones is made less loud as a whole, which leaves its SNR.
"""

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import soundfile
from numpy.typing import NDArray

from benchmarks.planting.faults import OF_SOUND, TRUTH, Fault, Planting, PlantingError, number_of
from benchmarks.planting.ground import OF_SPEAKER, unused
from benchmarks.planting.labels import Planted
from curate.audio import resample

Samples = NDArray[np.float32]
SILENCE_DBFS = -80.0
FULL_SCALE = 0.99
GAINS_DB = (-12.0, -3.0)  # a louder copy would clip
CODEC_BLOCK = 1 << 14  # libsndfile's Vorbis encoder puts what one call writes on the stack
CODEC_COMPRESSION = 0.9  # of Ogg Vorbis: 1 is the smallest file
SCALE_HZ = 220.0 * 2.0 ** (np.array([0, 3, 5, 7, 10, 12, 15, 17]) / 12)  # A minor pentatonic
CHORD_S = 0.5


@dataclass(frozen=True, kw_only=True)
class Alteration:
    """One utterance that gets samples of its own, from those of `original_id`."""

    utterance_id: str
    original_id: str
    fault: Fault
    kind: str
    amount: float
    seed: tuple[int, ...]


def plant_sound(
    planted: Planted, planting: Planting, *, person_of: Mapping[str, str] | None = None
) -> tuple[Planted, list[Alteration]]:
    """Choose the utterances that are to sound wrong, and add the rows of duplicates.

    The rows tell the audio as it was before; whoever carries out the alterations says what it became. Raises
    PlantingError where too few utterances are left.
    """
    num_before, planted = len(planted.utterances), replace(planted, free=planted.free.copy())
    alterations: list[Alteration] = []
    for place, fault in enumerate(Fault):
        if fault not in planting.faults or fault not in OF_SOUND:
            continue
        rng = np.random.default_rng([planting.seed, place])
        num = number_of(fault, planting.share(fault), num_before, "utterances")
        free = np.flatnonzero(planted.free)
        if len(free) < num:
            raise PlantingError(
                f"{fault} {planting.share(fault)}: {len(free)} utterances of {num} are left that no other fault has "
                "touched; expected a smaller share"
            )
        chosen = np.sort(rng.choice(free, num, replace=False))
        planted.free[chosen] = False
        if fault == Fault.DUPLICATE:
            planted, made = _duplicated(planted, chosen.tolist(), planting, rng, person_of or {})
        else:
            planted, made = _altered(planted, chosen.tolist(), fault, planting)
        alterations += made
    return planted, sorted(alterations, key=lambda one: one.utterance_id)


def _altered(planted: Planted, rows: list[int], fault: Fault, planting: Planting) -> tuple[Planted, list[Alteration]]:
    amount = {
        Fault.CLIPPING: planting.clipping_db,
        Fault.SILENCE: SILENCE_DBFS,
    }.get(fault, planting.snr_db)
    told = planted.utterances.select(["utterance_id", "speaker_id"]).take(pa.array(rows)).to_pylist()
    made = [
        _alteration(row["utterance_id"], planted.original_ids[at], fault, fault, amount, planting)
        for at, row in zip(rows, told, strict=True)
    ]
    truth = [
        _truth(one, speaker=row["speaker_id"], true_speaker=row["speaker_id"])
        for one, row in zip(made, told, strict=True)
    ]
    return replace(planted, truth=_with(planted.truth, truth)), made


def _duplicated(
    planted: Planted, rows: list[int], planting: Planting, rng: np.random.Generator, person_of: Mapping[str, str]
) -> tuple[Planted, list[Alteration]]:
    table = planted.utterances
    sources = table.take(pa.array(rows)).to_pylist()
    labels = table["speaker_id"].to_pylist()
    person = [person_of.get(label, label) for label in labels]
    others = planting.duplicate_under == "other_speaker"
    if others and len(set(person)) < 2:
        raise PlantingError(f"duplicate_under other_speaker: everything is of {person[0]}; expected two people or more")
    taken = set(table["utterance_id"].to_pylist())
    made, truth, added = [], [], []
    for row, source in zip(rows, sources, strict=True):
        like = source
        while others and person_of.get(like["speaker_id"], like["speaker_id"]) == person[row]:
            like = table.slice(int(rng.integers(len(table))), 1).to_pylist()[0]
        corpus = like["speaker_id"].split("/", 1)[0]
        tail = source["utterance_id"].split("/", 1)[1]
        new = unused(f"{corpus}/{tail}-2" if corpus == source["corpus"] else f"{corpus}/{tail}", taken)
        taken.add(new)
        way = planting.duplicate_by[rng.integers(len(planting.duplicate_by))]
        amount = {
            "gain": round(float(rng.uniform(*GAINS_DB)), 1),
            "resampling": float(source["sample_rate_hz"] // 2),
            "codec": CODEC_COMPRESSION,
            "offset": min(1.0, source["duration_s"] / 4),
        }[way]
        one = _alteration(new, source["utterance_id"], Fault.DUPLICATE, way, amount, planting)
        said = {name: like[name] for name in ("corpus", "speaker_id", "session_id", *OF_SPEAKER)}
        added.append(source | said | {"utterance_id": new})
        truth.append(_truth(one, speaker=like["speaker_id"], true_speaker=source["speaker_id"]))
        made.append(one)
    everything = pa.concat_tables([table, pa.Table.from_pylist(added, schema=table.schema)])
    order = np.argsort(everything["utterance_id"].to_numpy().astype(str), kind="stable")
    originals = planted.original_ids + [one.original_id for one in made]
    grown = Planted(
        utterances=everything.take(pa.array(order)),
        original_ids=[originals[at] for at in order],
        free=np.append(planted.free, np.zeros(len(added), dtype=bool))[order],
        truth=_with(planted.truth, truth),
    )
    return grown, made


def _alteration(
    utterance: str, original: str, fault: Fault, kind: str, amount: float, planting: Planting
) -> Alteration:
    digits = int.from_bytes(hashlib.sha256(utterance.encode()).digest()[:8])
    return Alteration(
        utterance_id=utterance,
        original_id=original,
        fault=fault,
        kind=str(kind),
        amount=amount,
        seed=(planting.seed, digits),
    )


def _truth(one: Alteration, *, speaker: str, true_speaker: str) -> dict[str, Any]:
    return {
        "fault": str(one.fault),
        "kind": one.kind,
        "utterance_id": one.utterance_id,
        "original_id": one.original_id,
        "speaker_id": speaker,
        "true_speaker_id": true_speaker,
        "amount": one.amount,
    }


def _with(truth: pa.Table, rows: list[dict[str, Any]]) -> pa.Table:
    return pa.concat_tables([truth, pa.Table.from_pylist(rows, schema=TRUTH.arrow())]).sort_by("utterance_id")


# ---------------------------------------------------------------------------------------------------------- samples


def altered(samples: Samples, rate_hz: int, one: Alteration) -> Samples:
    """Mono samples (T,) in [-1, 1] as the alteration leaves them; only an offset makes them fewer."""
    rng = np.random.default_rng(one.seed)
    match one.kind:
        case Fault.NOISE:
            return at_snr(samples, rng.standard_normal(len(samples)).astype(np.float32), one.amount)
        case Fault.TONES:
            return at_snr(samples, chords(len(samples), rate_hz, rng), one.amount)
        case Fault.CLIPPING:
            peak = float(np.abs(samples).max(initial=0.0)) or 1.0
            clipped: Samples = np.clip(samples * np.float32(10 ** (one.amount / 20) / peak), -1.0, 1.0)
            return clipped
        case Fault.SILENCE:
            return rng.standard_normal(len(samples)).astype(np.float32) * np.float32(10 ** (one.amount / 20))
        case "gain":
            return samples * np.float32(10 ** (one.amount / 20))
        case "resampling":
            there = resample(resample(samples, rate_hz, int(one.amount)), int(one.amount), rate_hz)
            return _as_long(there, len(samples))
        case "codec":
            return through_codec(samples, rate_hz, one.amount)
        case _:
            return samples[round(one.amount * rate_hz) :]


def at_snr(samples: Samples, added: Samples, snr_db: float) -> Samples:
    """The sum of both, in which `samples` have `snr_db` more power; less loud as a whole where it would clip."""
    power, of_added = (float(np.mean(np.square(one, dtype=np.float64))) for one in (samples, added))
    wanted = (power or 1e-8) / 10 ** (snr_db / 10)  # silence gets what -80 dBFS would
    both = samples + added * np.float32(np.sqrt(wanted / of_added))
    peak = float(np.abs(both).max(initial=0.0))
    scaled: Samples = both * np.float32(min(1.0, FULL_SCALE / peak)) if peak else both
    return scaled


def chords(num_samples: int, rate_hz: int, rng: np.random.Generator) -> Samples:
    """Three notes at a time, (T,), which die away and are struck anew twice a second."""
    length = max(1, round(CHORD_S * rate_hz))
    time_s = np.arange(length) / rate_hz
    struck = np.zeros(num_samples + length)
    for start in range(0, num_samples, length):
        for note_hz in rng.choice(SCALE_HZ, 3, replace=False):
            for harmonic in range(1, 5):
                if harmonic * note_hz < rate_hz / 2:
                    phase = rng.uniform(0, 2 * np.pi)
                    tone = np.sin(2 * np.pi * harmonic * note_hz * time_s + phase) / harmonic
                    struck[start : start + length] += tone * np.exp(-3 * time_s)
    return struck[:num_samples].astype(np.float32)


def through_codec(samples: Samples, rate_hz: int, compression: float) -> Samples:
    """Written as Ogg Vorbis and read again; as long as before."""
    encoded = io.BytesIO()
    with soundfile.SoundFile(
        encoded, "w", rate_hz, 1, format="OGG", subtype="VORBIS", compression_level=compression
    ) as file:
        for start in range(0, len(samples), CODEC_BLOCK):
            file.write(samples[start : start + CODEC_BLOCK])
    encoded.seek(0)
    heard, _ = soundfile.read(encoded, dtype="float32")
    return _as_long(heard, len(samples))


def _as_long(samples: Samples, length: int) -> Samples:
    padded: Samples = np.pad(samples[:length], (0, max(0, length - len(samples))))
    return padded
