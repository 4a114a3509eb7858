"""A corpus of tones in WAV files, as a manifest and as a catalog: each person has a pitch of his own."""

import csv

import numpy as np
import soundfile

from curate.audio import sha256_of
from curate.catalog import Catalog, rows_of
from curate.schema import CORPORA, DECISIONS, SPLITS, TRIALS, UTTERANCES

RATE_HZ = 16_000
BENCHMARK = "toy"


def tones(folder, *, num_people=8, each=4, seconds=0.5):
    """`p3/1.wav`: an utterance of a person."""
    rng = np.random.default_rng(0)
    times = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    for who in range(num_people):
        (folder / f"p{who}").mkdir(parents=True)
        for take in range(each):
            wave = 0.3 * np.sin(2 * np.pi * (200 + 300 * who) * times) + 0.05 * rng.normal(size=len(times))
            soundfile.write(folder / f"p{who}" / f"{take}.wav", wave, RATE_HZ, subtype="PCM_16")
    return folder


def files_of(folder):
    return sorted(folder.glob("*/*.wav"))


def manifest_of(folder, name="all.csv", people=None):
    """SpeechBrain's, of these people, with paths that are relative to its folder."""
    path = folder / name
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["ID", "duration", "wav", "start", "stop", "spk_id"])
        for audio in files_of(folder):
            if people is None or audio.parent.name in people:
                length = soundfile.info(audio).frames
                wav = audio.relative_to(folder)
                rows.writerow([f"{wav.parent}-{wav.stem}", length / RATE_HZ, wav, 0, length, wav.parent])
    return path


def described(audio, root):
    """A row of UTTERANCES; takes 0 and 1 are of one session, 2 and 3 of another."""
    who, take = audio.parent.name, int(audio.stem)
    info = soundfile.info(audio)
    return {
        "utterance_id": f"tones/{who}/{take}",
        "corpus": "tones",
        "speaker_id": f"tones/{who}",
        "session_id": f"tones/{who}/{take // 2}",
        "path": str(audio.relative_to(root)),
        "start_s": 0.0,
        "duration_s": info.frames / info.samplerate,
        "sample_rate_hz": info.samplerate,
        "num_channels": info.channels,
        "num_samples": info.frames,
        "content_sha256": sha256_of(audio),
    }


def catalog_of(place, root, *, utterances=None, test=("p6", "p7"), benchmark=BENCHMARK):
    """Of the corpus at `root`: its splits `train` and `test`, and three lists.

    `test` has all pairs of the split of that name, `targets` those of one person, and `known` people of `train`.

    `utterances` are other rows than those that the files make.
    """
    catalog = Catalog(place)
    rows = utterances or [described(audio, root) for audio in files_of(root)]
    corpus = {"corpus": "tones", "reader": "folder", "root": str(root)}
    catalog.publish(CORPORA, rows_of(CORPORA, [corpus]), fingerprint="x")
    catalog.publish(UTTERANCES, rows_of(UTTERANCES, rows), part="tones", fingerprint="x")
    catalog.publish(DECISIONS, rows_of(DECISIONS, []), part="none", fingerprint="x")
    splits = [
        {
            "benchmark": benchmark,
            "utterance_id": row["utterance_id"],
            "identity_id": row["speaker_id"],
            "split": "test" if row["speaker_id"].removeprefix("tones/") in test else "train",
        }
        for row in rows
    ]
    catalog.publish(SPLITS, rows_of(SPLITS, splits), part=benchmark, fingerprint="x")
    heard = [row for row in splits if row["split"] == "test"]
    trials = []
    for at, one in enumerate(heard):
        for other in heard[at + 1 :]:
            is_target = one["identity_id"] == other["identity_id"]
            pair = {"benchmark": benchmark, "enrol_id": one["utterance_id"], "test_id": other["utterance_id"]}
            trials.append(pair | {"list": "test", "is_target": is_target})
            trials += [pair | {"list": "targets", "is_target": True}] if is_target else []
    in_training = [row["utterance_id"] for row in splits if row["split"] == "train"][:5]  # four of one, one of another
    for other in in_training[1:]:
        is_target = other.rpartition("/")[0] == in_training[0].rpartition("/")[0]
        pair = {"benchmark": benchmark, "enrol_id": in_training[0], "test_id": other}
        trials.append(pair | {"list": "known", "is_target": is_target})
    catalog.publish(TRIALS, rows_of(TRIALS, trials), part=benchmark, fingerprint="x")
    return catalog
