"""WeSpeaker's lists: what its recipes have from their stage of data preparation on.

Layout: `<split>/` with `raw.list` (JSON a line: key, wav, spk), `wav.scp`, `utt2spk`, `spk2utt`, `shard.list` with
`shards/shards_<number>.tar`, each of 1,000 utterances as `<key>.spk` and `<key>.wav`. A split has the trials that are
of it, `trials/<benchmark>.kaldi` (`enrol test target|nontarget`), of several lists `trials/<benchmark>_<list>.kaldi`;
and where they enrol models `model2utt`, which `tools/vector_mean.py --spk2utt` takes. See `tools/make_raw_list.py`,
`tools/make_shard_list.py` and `wespeaker/dataset/processor.py` of https://github.com/wenet-e2e/wespeaker

Shards take utterances in a mixed order, the same every time: WeSpeaker mixes no further than a few shards.

A key is the utterance's id, so that scores name what the catalog names; recipes ask of a key only that it is one word.
Speakers are made one word, too (`curate.corpora.kaldi_ids.quoted`); where that changes the name, `raw.list` has it as
it is under `speaker`, which WeSpeaker passes over.

The lists name whole files of one channel: WeSpeaker hears only the first. A shard has a WAV as it is, and all else
decoded to 16 bits at the file's own rate; recipes resample. Spaces in a path are kept, other blanks are not.
"""

import io
import json
import re
import tarfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import TextIO

import soundfile

from curate import audio
from curate.corpora.kaldi_ids import quoted
from curate.errors import ExportError
from curate.export.beside import Named, in_trials, require_whole_file, write_trials_of_splits
from curate.export.outgoing import Export, Outgoing
from curate.export.sound import quantised

CAN_HOLD = ("split", "trials", "models")
UTTERANCES_PER_SHARD = 1_000


def write(out: Path, export: Export) -> None:
    """Raises ExportError for what no list can name. In memory are the ids of a split, and the audio of an utterance."""
    asked = in_trials(export)
    named: dict[str, Named] = {}
    for split in export.splits:
        if next(export.utterances(split), None) is None:
            continue  # WeSpeaker cannot load an empty list
        (out / split).mkdir()
        _write_lists(out / split, export.utterances(split))
        _write_shards(out / split, export.out / split, export.mixed(split))
        for one in export.utterances(split):
            if one.utterance in asked:
                named[one.utterance] = Named(split=split, key=one.utterance)
    file_of = "trials/{0}{1}.kaldi".format
    write_trials_of_splits(
        out, export, named, file_of=lambda name: file_of(export.name, export.told_apart(name)), called=str
    )


def _write_lists(folder: Path, utterances: Iterator[Outgoing]) -> None:
    of_speakers: dict[str, list[str]] = defaultdict(list)
    with ExitStack() as opened:
        raw, files, speakers, listed = (
            opened.enter_context(_opened(folder / name)) for name in ("raw.list", "wav.scp", "utt2spk", "spk2utt")
        )
        for one in utterances:
            _require_fit(one)
            key, speaker = one.utterance, quoted(one.speaker)
            row = {"key": key, "wav": str(one.file), "spk": speaker}
            row |= {"speaker": one.speaker} if speaker != one.speaker else {}
            raw.write(json.dumps(row, ensure_ascii=False) + "\n")
            files.write(f"{key} {one.file}\n")
            speakers.write(f"{key} {speaker}\n")
            of_speakers[speaker].append(key)
        listed.writelines(" ".join([speaker, *keys]) + "\n" for speaker, keys in sorted(of_speakers.items()))


def _opened(path: Path) -> TextIO:
    return path.open("w", encoding="utf-8", newline="\n")


def _require_fit(one: Outgoing) -> None:
    """Raises ExportError for a part of a file, for more than one channel, and for a path that lists cannot hold."""
    require_whole_file(one)
    if re.search(r"\s\s|[^\S ]", str(one.file)):
        raise ExportError(f"{str(one.file)!r}: blanks that a list cannot hold; expected a copy of the audio: `--audio`")


def _write_shards(folder: Path, final: Path, utterances: Iterator[Outgoing]) -> None:
    (folder / "shards").mkdir()
    number = 0
    with _opened(folder / "shard.list") as listed:
        while chunk := list(islice(utterances, UTTERANCES_PER_SHARD)):
            name = f"shards/shards_{number:09d}.tar"
            write_shard(folder / name, chunk)
            listed.write(f"{final / name}\n")
            number += 1


def write_shard(path: Path, utterances: list[Outgoing]) -> None:
    """The same utterances make the same bytes: what a tar says of times and owners stays at nothing."""
    with tarfile.open(path, "w") as tar:
        for one in utterances:
            for suffix, content in ((".spk", quoted(one.speaker).encode()), (".wav", _wav(one))):
                member = tarfile.TarInfo(one.utterance + suffix)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


def _wav(one: Outgoing) -> bytes:
    """The utterance alone, of one channel."""
    if one.is_whole_file and one.file_num_channels == 1 and one.file.suffix.lower() == ".wav":
        return audio.content_of(one.source, one.content_sha256)
    samples = audio.decode(one.source, **one.stretch)
    whole, subtype = quantised(samples, 16)
    buffer = io.BytesIO()
    soundfile.write(buffer, whole, one.file_rate_hz, subtype=subtype, format="WAV")
    return buffer.getvalue()
