"""HUB5 2000 English: 40 telephone calls in segments with transcripts, half Switchboard, half CALLHOME, 8 kHz SPHERE.

Licence: LDC User Agreement. Citation: Linguistic Data Consortium, "2000 HUB5 English Evaluation", LDC2002S09 (speech)
and LDC2002T43 (transcripts). https://catalog.ldc.upenn.edu/LDC2002S09

Layout: a folder that holds LDC2002S09 and LDC2002T43, or links to both with `links = "anywhere"`. Files are found by
their names, wherever they lie below it:
    `en_4156.sph` (CALLHOME) and `sw_4390.sph` (Switchboard): side A on the first channel, side B on the second
    `hub5e00.english.000405.stm` (other dates, too): `en_4156 A en_4156_A 301.85 302.48 <O,en,F,en-F> WORDS`,
    that is file, side, speaker, start and end in seconds, categories and transcript; lines in `;;` are comments
Kaldi, SpeechBrain and others read both like this. A category `F` or `M` is the sex. Segments whose words are
IGNORE_TIME_SEGMENT_IN_SCORING, and gaps between segments, are no utterances: `remarks` counts them.

A speaker is a label of one call (`en_4156_A`, with `en_4156_A1` for a further voice on that side); who is the same in
two calls is not told. A session is a call. Transcripts are as they stand, with their marks.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal
from unicodedata import normalize

from pydantic.dataclasses import dataclass as validated

from curate.corpora.described import STRICT, CorpusSettings, Described, sex_of
from curate.corpora.lists import SIDES, lines_of, side_of, stretch
from curate.corpora.places import files_below, printable
from curate.errors import CorpusError

LICENCE = "LDC User Agreement"
CITATION = "Linguistic Data Consortium: 2000 HUB5 English Evaluation, LDC2002S09 and LDC2002T43"
URL = "https://catalog.ldc.upenn.edu/LDC2002S09"
FILLS = ("sex", "session", "language", "transcript", "corpus_split")

AUDIO = (".sph", ".wav", ".flac")
PARTS = {"en": "callhome", "sw": "switchboard"}
IGNORED, GAPS = "ignore_time_segment_in_scoring", ("inter_segment_gap", "excluded_region")
_SEXES = ("f", "m", "female", "male")  # among other categories, such as the language
_STM = "FILE SIDE SPEAKER START END <CATEGORIES> WORDS"


@validated(frozen=True, kw_only=True, config=STRICT)
class Settings(CorpusSettings):
    """Nothing beyond what every corpus takes; `include = ["*/sw_*"]` picks Switchboard."""

    reader: Literal["hub5"]


def rows(root: Path, settings: Settings) -> Iterator[Described]:
    """Every segment that is scored, in the order of the transcripts; a line that is said twice counts once."""
    audio = _audio(root, settings)
    seen: dict[str, Described] = {}
    for place, line in _segments(root, settings):
        row = _row(place, line, audio, settings)
        if row is None:
            continue
        if seen.setdefault(row.utterance, row) is row:
            yield row
        elif seen[row.utterance] != row:
            raise CorpusError(f"{place}: {row.utterance[:80]!r} again with other words; expected one line a segment")


def remarks(root: Path, settings: Settings) -> Iterator[str]:
    """How many lines are no utterances, how many are said twice, and which calls have no line."""
    audio = _audio(root, settings)
    told = [_row(place, line, audio, settings) for place, line in _segments(root, settings)]
    utterances = [row for row in told if row]
    if left_out := len(told) - len(utterances):
        yield f"{left_out} segments are not scored, and left out"
    if again := len(utterances) - len({row.utterance for row in utterances}):
        yield f"{again} lines of the transcripts are said twice"
    for silent in sorted(set(audio.values()) - {row.path for row in utterances}):
        yield f"{silent!r} has no segment in the transcripts"


def _segments(root: Path, settings: Settings) -> Iterator[tuple[str, str]]:
    """Place and text of every line of the transcripts that is no comment."""
    found = [path for path in files_below(root, (".stm",), links=settings.links) if _is_reference(path)]
    if len(found) != 1:
        raise CorpusError(f"{root}: {len(found)} files hub5e00.english.*.stm; expected one, of LDC2002T43")
    for place, line in lines_of(root / found[0], expected=_STM):
        if not line.startswith(";;"):
            yield place, line


def _is_reference(path: str) -> bool:
    return re.fullmatch(r"hub5e_?00\.english\..*stm", path.rpartition("/")[2].lower()) is not None


def _audio(root: Path, settings: Settings) -> dict[str, str]:
    """Path by call."""
    audio: dict[str, str] = {}
    for path in files_below(root, AUDIO, links=settings.links):
        call = normalize("NFC", path.rpartition("/")[2].rpartition(".")[0].lower())
        if audio.setdefault(call, path) != path:
            raise CorpusError(
                f"{root}/{printable(path)}: call {call!r} is in {audio[call]!r}, too; expected one file a call"
            )
    return audio


def _row(place: str, line: str, audio: dict[str, str], settings: Settings) -> Described | None:
    """The utterance of a line, or None where nobody's words are scored."""
    fields = line.split(None, 5)
    if len(fields) < 5:
        raise CorpusError(f"{place}: {len(fields)} fields; expected {_STM}")
    call, side, speaker, start, end = fields[:5]
    categories, words = _words(fields[5] if len(fields) > 5 else "", place)
    start_s, duration_s = stretch(start, end, place)
    if speaker.lower() in GAPS or words.lower() == IGNORED:
        return None
    if call.lower() not in audio:
        raise CorpusError(f"{place}: no audio of call {call[:80]!r}; expected its .sph of LDC2002S09")
    milliseconds = (round(1000 * start_s), round(1000 * (start_s + duration_s)))
    return Described(
        path=audio[call.lower()],
        name="{}-{:07d}-{:07d}".format(speaker, *milliseconds),  # two voices of a side may start together
        speaker=speaker,
        session=call,
        start_s=start_s,
        duration_s=duration_s,
        channel=SIDES[side_of(side, place)],
        sex=next((sex_of(one) for one in categories if one.strip().lower() in _SEXES), None),
        language=settings.language or "en",
        transcript=words or None,
        corpus_split=PARTS.get(call.lower().partition("_")[0]),
    )


def _words(rest: str, place: str) -> tuple[list[str], str]:
    """Categories and transcript of what follows the end of a segment."""
    match = re.match(r"<(?![BE]_ASIDE>)([^<>]*)>", rest)
    if not match:
        return [], rest.strip()
    return match[1].split(","), rest[match.end() :].strip()
