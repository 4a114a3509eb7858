"""Any corpus told by WeSpeaker's raw lists.

Licence and citation are its owner's to say, in the pipeline file.

Layout: `raw.list`, one row an utterance in JSON: `key`, `wav`, `spk` (in old lists `speaker`) and at times `vad`, pairs
of seconds between which there is speech. A folder of folders with such a list is a corpus of as many splits. Beside a
list `trials/*.kaldi` hold `enrol test target|nontarget`; an `enrol` that is no utterance is a model, whose utterances
`model2utt` has beside the list, as `spk2utt` has speakers'. See `tools/make_raw_list.py` and `tools/vector_mean.py` of
https://github.com/wenet-e2e/wespeaker

What `wav` names is taken as in Kaldi: from the root where it is not absolute, and commands are never run (see
`pipes`). `vad` makes an utterance a stretch, from the first start to the last end; pauses between are heard. An audio
file within a tar is no file of its own, so that `shard.list` cannot be read: it was made from the same `wav.scp`.
"""

import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Literal

from pydantic.dataclasses import dataclass as validated

from curate.corpora.described import STRICT, CorpusSettings, Described, Enrolment, PublishedTrial, files_in, one_word
from curate.corpora.kaldi import SECONDS
from curate.corpora.kaldi_files import Line, lines_in, pairs_of_spk2utt, trials_in
from curate.corpora.listed import DECODER
from curate.corpora.pipes import audio_of
from curate.corpora.sidecars import own_file
from curate.errors import CorpusError, shown
from curate.storage import Location, is_local, joined

LICENCE = None
CITATION = None
URL = None
FILLS = ("corpus_split",)
RAW, SHARDS, MODELS = "raw.list", "shard.list", "model2utt"


@validated(frozen=True, kw_only=True, config=STRICT)
class Settings(CorpusSettings):
    """`manifest` is a raw list, its folder, or a folder of several, relative to the root or absolute."""

    reader: Literal["wespeaker"]
    manifest: Location = Path(".")
    moved_from: str | None = None  # where the root was when the list was written


def rows(root: Path, settings: Settings) -> Iterator[Described]:
    """Every line of every list. Raises CorpusError naming file and line of one that makes no utterance."""
    for path, split in _lists(root, settings):
        for place, row in _rows(path):
            try:
                yield _described(row, root, settings, split)
            except CorpusError as error:
                raise CorpusError(f"{place}: {error}") from error


def published_trials(root: Path, settings: Settings) -> Iterator[PublishedTrial]:
    """Every line of every list. Raises CorpusError for a side that nothing is. All keys are held."""
    lists = _lists(root, settings)
    keys = _keys(lists)
    for path, split in lists:
        models = {line.value for line in _in_models(path)} - keys
        for trials in files_in(path.parent, "trials/*.kaldi"):
            for place, enrol, test, is_target in trials_in(trials):
                if lost := {test} - keys or {enrol} - keys - models:
                    raise CorpusError(f"{place}: {min(lost)[:80]!r} is in no {RAW}; expected an utterance")
                yield PublishedTrial(
                    list=_under(split, trials.stem),
                    enrol=one_word(enrol),  # as `Described.utterance` has them
                    enrol_list=_under(split, MODELS) if enrol in models else None,
                    test=one_word(test),
                    is_target=is_target,
                )


def enrolments(root: Path, settings: Settings) -> Iterator[Enrolment]:
    """The utterances of every model. Raises CorpusError for one that no list has. All keys are held."""
    lists = _lists(root, settings)
    keys = _keys(lists)
    for path, split in lists:
        for line in _in_models(path):
            if line.key not in keys:
                raise CorpusError(f"{line.place}: {line.key[:80]!r} is in no {RAW}; expected an utterance")
            yield Enrolment(list=_under(split, MODELS), model=line.value, utterance=one_word(line.key))


def _keys(lists: list[tuple[Path, str | None]]) -> set[str]:
    said = (row.get("key") for path, _ in lists for _, row in _rows(path))
    return {key.strip() for key in said if isinstance(key, str)}


def _in_models(path: Path) -> Iterator[Line]:
    """Utterance and model of each that `model2utt` has beside a list."""
    models = path.with_name(MODELS)
    yield from pairs_of_spk2utt(models) if models.exists() else ()


def _under(split: str | None, name: str) -> str:
    return f"{split}/{name}" if split else name


def _lists(root: Path, settings: Settings) -> list[tuple[Path, str | None]]:
    where = joined(root, settings.manifest)
    lists: list[tuple[Path, str | None]] = [(path, path.parent.name) for path in files_in(where, f"*/{RAW}")]
    if where.is_file() or (where / RAW).exists():
        lists = [(where if where.is_file() else where / RAW, None)]
    if not lists:
        raise CorpusError(f"{where}: no {RAW}; expected one in it or in folders of it{_instead(where)}")
    if is_local(root) and not settings.manifest.is_absolute():
        for file in (file for path, _ in lists for file in (path, *files_in(path.parent, "trials/*.kaldi", MODELS))):
            own_file(root, file.relative_to(root).as_posix(), settings.links)
    return lists


def _instead(where: Path) -> str:
    if files_in(where, SHARDS, f"*/{SHARDS}"):
        return ": audio within shards is not read, `tools/make_raw_list.py` makes the list of the files they came from"
    if files_in(where, "wav.scp", "*/wav.scp"):
        return '; `wav.scp` with `utt2spk` is what `reader = "kaldi"` reads'
    return ""


def _rows(path: Path) -> Iterator[tuple[str, dict[str, object]]]:
    for place, text in lines_in(path):
        try:
            row = DECODER.decode(text)
        except (ValueError, RecursionError) as error:
            hint = "; a list of shards is not read" if text.endswith(".tar") else ""
            raise CorpusError(f"{place}: no JSON ({error}); expected one object a line{hint}") from error
        if not isinstance(row, dict):
            raise CorpusError(f"{place}: {type(row).__name__}; expected one object a line")
        yield place, row


def _described(row: dict[str, object], root: Path, settings: Settings, split: str | None) -> Described:
    audio = audio_of(_text(row, "wav"), root, settings.moved_from)
    start_s, duration_s = _stretch(row["vad"]) if "vad" in row else (None, None)
    return Described(
        path=audio.path,
        channel=audio.channel,
        start_s=start_s,
        duration_s=duration_s,
        name=_text(row, "key"),
        speaker=_text(row, "speaker" if "speaker" in row else "spk"),
        language=settings.language,
        corpus_split=split,
    )


def _text(row: dict[str, object], field: str) -> str:
    value = row.get(field)
    if not isinstance(value, str) or not value.strip() or re.search("[\0\ud800-\udfff]", value):
        raise CorpusError(f"{field} {shown(value)}; expected a text in each of key, wav, spk")
    return value.strip()


def _stretch(parts: object) -> tuple[float, float]:
    """Start and length in seconds; numbers may come as texts."""
    pairs = parts if isinstance(parts, list) else []
    times = [time for pair in pairs if isinstance(pair, list) and len(pair) == 2 for time in pair]
    if not times or len(times) < 2 * len(pairs) or not all(SECONDS.fullmatch(str(time)) for time in times):
        raise CorpusError(f"vad {shown(parts)}; expected pairs of seconds")
    start, end = min(map(Decimal, map(str, times[::2]))), max(map(Decimal, map(str, times[1::2])))
    return float(start), float(end - start)
