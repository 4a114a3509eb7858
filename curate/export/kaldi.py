"""Kaldi data directories, one a split: for Kaldi, lhotse, ESPnet, and whatever else starts from `wav.scp`.

Layout, in C order: `<split>/` with `wav.scp`, `utt2spk`, `spk2utt`, `utt2dur`, `reco2dur`; `segments` where one
utterance is not a whole file; `text`, `utt2lang`, `spk2gender`; `utt2age`, `utt2session`, `utt2accent`,
`utt2nationality`, `utt2licence` for the utterances of which these are known. A split has the `trials` that are of it,
of several lists `trials_<list>`, and where they enrol models `model2utt`, as `spk2utt` has speakers.

`text` names everybody where somebody's words are known or there are segments, which lhotse wants; a transcript may be
empty. Kaldi wants `utt2lang` and `spk2gender` to name everybody, too, and no `<s>`, `</s>` or `#0` in `text`. Where
that is not so they are called `<file>.known`, which Kaldi passes over and our reader takes. A speaker whose utterances
are of two sexes has none in `spk2gender`.

Blanks other than the plain one become plain in every value, as Kaldi wants them.

Ids are `<speaker>!<utterance>`; `curate.corpora.kaldi_ids` says why, and how they are turned back. A recording that
is cut bears the id of its first utterance. A WAV of one channel is named as it is: Kaldi reads samples of 16 bits, so
that others want `--audio --bits 16`. All else is a command, for `flac`, `sox`, `sph2pipe` or `ffmpeg` on the machine
that reads; channels are averaged where none is picked. A directory must pass `utils/validate_data_dir.sh --no-feats`,
with `--no-text` where there is no `text`.
"""

import re
import shlex
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TextIO

from curate.corpora.kaldi_ids import key_of, quoted
from curate.errors import ExportError
from curate.export.beside import Named, in_trials, write_trials_of_splits
from curate.export.outgoing import TOLD, Export, Outgoing

CAN_HOLD = (*(what for what in TOLD if what != "corpus_split"), "channel", "stretch", "split", "trials", "models")
_WHOLE = {"utt2lang": "utt2spk", "spk2gender": "spk2utt"}  # must have as many lines as
_RESERVED = re.compile(r"(?<!\w)(<s>|</s>|#0)(?!\w)", re.ASCII)  # in words: as `grep -w` finds them by bytes
_LETTERS = {"female": "f", "male": "m"}


def write(out: Path, export: Export) -> None:
    """Raises ExportError for a path or a trial that a data directory cannot hold. A file at a time is in memory."""
    asked = in_trials(export)
    named: dict[str, Named] = {}
    for split in export.splits:
        if next(export.utterances(split), None) is None:
            continue  # Kaldi refuses a directory of nobody
        _write_directory(out / split, partial(export.utterances, split))
        for one in export.utterances(split):
            if one.utterance in asked:
                named[one.utterance] = Named(split=split, key=key_of(one.speaker, one.utterance))
    write_trials_of_splits(out, export, named, file_of=lambda name: f"trials{export.told_apart(name)}", called=quoted)


def _write_directory(folder: Path, utterances: Callable[[], Iterator[Outgoing]]) -> None:
    folder.mkdir()
    is_cut = any(not _is_whole(one) for one in utterances())
    has_text = is_cut or any(one.transcript for one in utterances())  # lhotse wants it where there are segments
    with ExitStack() as opened:
        files = _Files(folder, opened)
        for one in utterances():
            _add(files, one, is_cut=is_cut, has_text=has_text)
        for speaker, sexes in files.sexes.items():
            if len(sexes) == 1:
                files.add("spk2gender", speaker, _LETTERS[min(sexes)])
    for name in files.names:
        _sort(folder / name)
    _write_spk2utt(folder)
    for name, other in _WHOLE.items():
        if name in files.names and _num_lines(folder / name) < _num_lines(folder / other):
            (folder / name).rename(folder / f"{name}.known")
    if files.has_reserved:
        (folder / "text").rename(folder / "text.known")


class _Files:
    """The files of a directory while they are written, and what more than one line depends on."""

    def __init__(self, folder: Path, opened: ExitStack) -> None:
        self._folder, self._opened = folder, opened
        self._files: dict[str, TextIO] = {}
        self.recordings: dict[tuple[Path, int | None], str] = {}  # of files that are cut: id of the first utterance
        self.sexes: dict[str, set[str]] = defaultdict(set)
        self.has_reserved = False  # words that Kaldi's checker refuses in transcripts

    @property
    def names(self) -> tuple[str, ...]:
        """Of the files that there are."""
        return tuple(self._files)

    def add(self, name: str, key: str, value: str | None, *, is_needed: bool = False) -> None:
        """A line, if there is something to say; a needed one has its key at least."""
        plain = value if name == "wav.scp" else re.sub(r"\s", " ", value or "").strip()
        if not plain and not is_needed:
            return
        if name not in self._files:
            file = (self._folder / name).open("w", encoding="utf-8", newline="\n")
            self._files[name] = self._opened.enter_context(file)
        self._files[name].write(f"{key} {plain}".rstrip(" ") + "\n")


def _add(files: _Files, one: Outgoing, *, is_cut: bool, has_text: bool) -> None:
    key, speaker = key_of(one.speaker, one.utterance), quoted(one.speaker)
    recording = key if _is_whole(one) else files.recordings.setdefault((one.file, one.channel), key)
    files.add("utt2spk", key, speaker)
    files.add("wav.scp", recording, sound_of(one))
    files.add("reco2dur", recording, _seconds(one.file_duration_s))
    files.add("utt2dur", key, _seconds(_end_s(one) - one.start_s))
    if is_cut:
        files.add("segments", key, f"{recording} {_seconds(one.start_s)} {_seconds(_end_s(one))}")
    files.add("text", key, one.transcript, is_needed=has_text)
    for name, value in _told(one).items():
        files.add(name, key, value)
    files.sexes[speaker] |= {one.sex} if one.sex else set()
    files.has_reserved |= bool(_RESERVED.search(one.transcript or ""))


def _is_whole(one: Outgoing) -> bool:
    """But for its channel, which a command picks."""
    return one.start_s == 0 and round(one.duration_s * one.file_rate_hz) >= one.file_num_samples


def _end_s(one: Outgoing) -> float:
    return one.file_duration_s if _is_whole(one) else one.start_s + one.duration_s


def _told(one: Outgoing) -> dict[str, str | None]:
    return {
        "utt2lang": one.language,
        "utt2age": one.age,
        "utt2session": one.session,
        "utt2accent": one.accent,
        "utt2nationality": one.nationality,
        "utt2licence": one.licence,
    }


def _seconds(value: float) -> str:
    """Exact to a sample of any rate; never in powers of ten, which awk reads but people do not."""
    return f"{value:.7f}".rstrip("0").rstrip(".")


def sound_of(one: Outgoing) -> str:
    """The file as `wav.scp` names it: itself, or the command whose output is the channel asked for."""
    path, suffix = str(one.file), one.file.suffix.lower()
    if re.search(r"[\n\r]", path):
        raise ExportError(f"{path!r}: a name of two lines; expected another name, or a copy of the audio: `--audio`")
    file, is_mono = shlex.quote(path), one.file_num_channels == 1
    if is_mono and suffix == ".wav":
        return path
    if is_mono and suffix == ".flac":
        return f"flac -c -d -s {file} |"
    if suffix == ".sph" and (is_mono or one.channel in (0, 1)):
        return f"sph2pipe -f wav -p -c {(one.channel or 0) + 1} {file} |"
    if suffix in (".wav", ".flac", ".sph"):
        return f"sox {file} -t wav - remix {'-' if one.channel is None else one.channel + 1} |"
    pick = "-ac 1" if one.channel is None else f"-af 'pan=mono|c0=c{one.channel}'"
    return f"ffmpeg -v error -nostdin -i {file} {pick} -f wav -acodec pcm_s16le - |"


def _sort(path: Path) -> None:
    """By key, as the blank after it is lower than what is in a key. A recording is said once."""
    with path.open("rb") as file:
        lines = sorted(file)
    with path.open("wb") as file:
        file.writelines(line for line, _ in groupby(lines))


def _write_spk2utt(folder: Path) -> None:
    with (
        (folder / "utt2spk").open(encoding="utf-8") as pairs,
        (folder / "spk2utt").open("w", encoding="utf-8", newline="\n") as file,
    ):
        for speaker, lines in groupby((line.split() for line in pairs), key=lambda line: line[1]):
            file.write(" ".join([speaker, *(key for key, _ in lines)]) + "\n")


def _num_lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(1 for _ in file)
