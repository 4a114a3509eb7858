"""Three small spoken corpora with faults whose truth is known, to see what curation finds and what it misses.

`ha-noi` is folders and a table of speakers, `hue` a CSV manifest, `sai-gon` a JSONL manifest over FLAC. `truth.csv`
has a row for each fault that was planted; nothing else in the corpora is wrong.

| fault | subject | what is wrong |
| --- | --- | --- |
| `noise` | utterance | noise alone, or speech under noise that is louder than it |
| `silence` | utterance | digital zeros, noise too faint to hear, or a room in which nobody speaks |
| `wrong_speaker` | utterance | somebody else of the corpus speaks; `other_id` is their label |
| `too_short` | utterance | 0.2 s out of the middle |
| `truncated` | utterance | the second half of the file is missing |
| `two_people` | speaker | half of what is filed under the label is a second person's; `detail` lists it |
| `same_person` | pair | `subject_id` and `other_id` are labels of one person |
"""

import csv
import json
from collections.abc import Iterable
from dataclasses import astuple, fields
from pathlib import Path

import numpy as np
import soundfile
import soxr

from benchmarks.demo.people import AGE_UNKNOWN, LABELS, PEOPLE
from benchmarks.demo.plan import Truth, Utterance, plan, truth
from benchmarks.demo.sounds import Channel, Sound, at_level, clip, draw_channel, hum, noise
from benchmarks.demo.spoken import SAMPLE_RATE_HZ, speak

FILE_RATE_HZ = {"ha-noi": 16_000, "hue": 22_050, "sai-gon": 16_000}
DECADES = ("", "teens", "twenties", "thirties", "fourties", "fifties", "sixties", "seventies")  # as Common Voice spells
NOISE_DB = -20  # of noise alone
FAINT_DB = -78  # a few steps of 16 bits
SPEECH_UNDER_NOISE_DB = -5
TOO_SHORT_S = 0.2


def write_demo(root: Path, *, seed: int) -> None:
    """Write `ha-noi`, `hue`, `sai-gon` and `truth.csv` under `root`, the same bytes for the same seed.

    `truth.csv` comes last: where it is, the demo is whole. Raises FileExistsError if anything is under `root` already.
    """
    if root.exists() and any(root.iterdir()):
        raise FileExistsError(f"{root} is not empty; expected a new folder for the demo")
    rng = np.random.default_rng(seed)
    utterances = plan(rng)
    sessions = dict.fromkeys((utterance.speaker_id, utterance.session) for utterance in utterances)
    channels = {session: draw_channel(rng) for session in sessions}
    for utterance in utterances:
        sound = _sound(utterance, channels[utterance.speaker_id, utterance.session], rng)
        _write_sound(root / utterance.corpus / utterance.path, sound, utterance)
    _write_speakers(root / "ha-noi" / "speakers.csv")
    _write_hue(root / "hue" / "utterances.csv", utterances)
    _write_sai_gon(root / "sai-gon" / "utterances.jsonl", utterances)
    columns = [field.name for field in fields(Truth)]
    _write_csv(root / "truth.csv", columns, (astuple(row) for row in truth(utterances)))


def _sound(utterance: Utterance, channel: Channel, rng: np.random.Generator) -> Sound:
    """What the file is to hold, at `SAMPLE_RATE_HZ`."""
    said = _say(utterance.text, utterance.person, rng)
    num_samples = len(said)
    match utterance.kind:
        case "white":
            return clip(at_level(noise(num_samples, rng, tilt_db=0), NOISE_DB))
        case "hum":
            return clip(at_level(hum(num_samples, SAMPLE_RATE_HZ, rng), NOISE_DB))
        case "zeros":
            return np.zeros_like(said)
        case "faint":
            return at_level(noise(num_samples, rng, tilt_db=-3), FAINT_DB)
        case "empty_room":
            said = np.zeros_like(said)
        case "speech_under_pink":
            said = at_level(said, SPEECH_UNDER_NOISE_DB) + at_level(noise(num_samples, rng, tilt_db=-3), 0)
        case "speech_under_babble":
            said = at_level(said, SPEECH_UNDER_NOISE_DB) + at_level(_babble(utterance, num_samples, rng), 0)
    return channel.record(said, SAMPLE_RATE_HZ, rng)


def _say(text: str, person: str, rng: np.random.Generator) -> Sound:
    return speak(text, PEOPLE[person].voice, seed=int(rng.integers(1, 2**31)))


def _babble(utterance: Utterance, num_samples: int, rng: np.random.Generator) -> Sound:
    """Four others of the demo, all at once, with the same words in other voices."""
    babble = np.zeros(num_samples, np.float32)
    for name in rng.choice([name for name in PEOPLE if name != utterance.person], 4, replace=False).tolist():
        babble += np.roll(np.resize(_say(utterance.text, name, rng), num_samples), rng.integers(num_samples))
    return babble


def _write_sound(path: Path, sound: Sound, utterance: Utterance) -> None:
    rate_hz = FILE_RATE_HZ[utterance.corpus]
    sound = soxr.resample(sound, SAMPLE_RATE_HZ, rate_hz)
    if utterance.fault == "too_short":
        middle = len(sound) // 2
        sound = sound[middle : middle + round(TOO_SHORT_S * rate_hz)]
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound, rate_hz, subtype="PCM_16")
    if utterance.fault == "truncated":
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])


def _write_speakers(path: Path) -> None:
    people = [(speaker, PEOPLE[name]) for speaker, name in LABELS["ha-noi"].items()]
    rows = [(speaker, person.sex, person.age_years, "vi") for speaker, person in people]
    _write_csv(path, ["speaker", "sex", "age", "language"], rows)


def _write_hue(path: Path, utterances: list[Utterance]) -> None:
    rows = []
    for utterance in (utterance for utterance in utterances if utterance.corpus == "hue"):
        labelled = PEOPLE[LABELS["hue"][utterance.speaker]]  # what the corpus believes, whoever speaks
        told = (utterance.speaker, labelled.sex[0].upper(), labelled.age_years)
        rows.append((utterance.path, *told, utterance.session, utterance.text))
    _write_csv(path, ["file", "client", "gender", "years", "visit", "text"], rows)


def _write_sai_gon(path: Path, utterances: list[Utterance]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for utterance in (utterance for utterance in utterances if utterance.corpus == "sai-gon"):
            labelled = PEOPLE[LABELS["sai-gon"][utterance.speaker]]
            row = {
                "path": utterance.path,
                "speaker": utterance.speaker,
                "session": utterance.session,
                "sex": labelled.sex,
            }
            if utterance.speaker_id not in AGE_UNKNOWN:
                row["age"] = DECADES[labelled.age_years // 10]
            file.write(json.dumps(row | {"sentence": utterance.text}, ensure_ascii=False) + "\n")


def _write_csv(path: Path, columns: list[str], rows: Iterable[tuple[str | int, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
