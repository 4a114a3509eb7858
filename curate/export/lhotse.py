"""Lhotse, and with it icefall and NeMo: recordings, supervisions and cuts per split, as gzipped JSON lines.

Layout: `<name>_recordings_<split>.jsonl.gz`, `<name>_supervisions_<split>.jsonl.gz`, `<name>_cuts_<split>.jsonl.gz`, as
Lhotse names its own, and `trials.txt` (`1 enrol test`, of supervisions, whose ids their cuts bear), of several lists
`trials_<list>.txt`, and where they enrol models `models.txt` (`model utterance utterance ...`). A cut is one
utterance with all that is needed to load it, so that samplers can stream them; one of several channels is a MultiCut.
What Lhotse has no field for stands in the supervision's `custom`. A recording bears the id of its first utterance.
Times are those of whole samples. Source: `lhotse/qa.py` and the `to_dict` of lhotse 1.33.

Audio in a store is a source of type `url`, which Lhotse opens by `smart_open`, with the credentials of the store's own
client. It fetches a file whole for every cut of it: `AudioSource` in `lhotse/audio/source.py`.
"""

import gzip
import io
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, TextIO, cast

from curate.export.beside import beside, write_trials
from curate.export.outgoing import TOLD, Export, Outgoing
from curate.storage import is_local

CAN_HOLD = (*TOLD, "channel", "stretch", "split", "trials", "models")
OPENS = ("s3", "s3a", "gs", "gcs")  # schemes of stores that `smart_open` spells as fsspec does
KINDS = ("recordings", "supervisions", "cuts")


def write(out: Path, export: Export) -> None:
    """One pass over each split; the files that were met are in memory."""
    for split in export.splits:
        ids: dict[Path, str] = {}
        with ExitStack() as stack:
            paths = (out / f"{export.name}_{kind}_{split}.jsonl.gz" for kind in KINDS)
            recordings, supervisions, cuts = (stack.enter_context(_gzipped(path)) for path in paths)
            for one in export.utterances(split):
                is_new = one.file not in ids
                recording = _recording(one, ids.setdefault(one.file, one.utterance))
                supervision = _supervision(one, str(recording["id"]))
                if is_new:
                    _put(recordings, recording)
                _put(supervisions, supervision)
                _put(cuts, _cut(supervision, recording))
    write_trials(out, export)


@contextmanager
def _gzipped(path: Path) -> Iterator[TextIO]:
    """The same bytes for the same text: neither name nor time is in them."""
    with (
        path.open("wb") as file,
        gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=6, mtime=0) as packed,
        io.TextIOWrapper(cast(IO[bytes], packed), encoding="utf-8", newline="\n") as text,
    ):
        yield text


def _put(file: TextIO, row: dict[str, object]) -> None:
    file.write(json.dumps({key: value for key, value in row.items() if value is not None}, ensure_ascii=False) + "\n")


def _recording(one: Outgoing, name: str) -> dict[str, object]:
    channels = list(range(one.file_num_channels))
    return {
        "id": name,
        "sources": [{"type": "file" if is_local(one.file) else "url", "channels": channels, "source": str(one.file)}],
        "sampling_rate": one.file_rate_hz,
        "num_samples": one.file_num_samples,
        "duration": one.file_duration_s,
        "channel_ids": channels,
    }


def _supervision(one: Outgoing, recording: str) -> dict[str, object]:
    start = round(one.start_s * one.file_rate_hz)
    samples = min(round(one.duration_s * one.file_rate_hz), one.file_num_samples - start)
    every = list(range(one.file_num_channels)) if one.file_num_channels > 1 else 0
    custom = {key: value for key, value in beside(one).items() if value is not None and key != "sex"}
    return {
        "id": one.utterance,
        "recording_id": recording,
        "start": start / one.file_rate_hz,
        "duration": samples / one.file_rate_hz,
        "channel": every if one.channel is None else one.channel,
        "text": one.transcript,
        "language": one.language,
        "speaker": one.speaker,
        "gender": one.sex,
        "custom": custom,
    }


def _cut(supervision: dict[str, object], recording: dict[str, object]) -> dict[str, object]:
    """A cut of what the supervision is of; within it that starts at 0."""
    within = {key: value for key, value in supervision.items() if value is not None} | {"start": 0.0}
    return {
        **{key: supervision[key] for key in ("id", "start", "duration", "channel")},
        "supervisions": [within],
        "recording": recording,
        "type": "MultiCut" if isinstance(supervision["channel"], list) else "MonoCut",
    }
