"""What an entry of a `wav.scp` reads: a file, or a command whose output is the sound. No command is ever run.

Of the commands that recipes of Kaldi and WeSpeaker use we know which file they read and which channel they pick: flac,
sph2pipe, sox, ffmpeg, cat, wav-copy, and the latter behind one another. An option that we do not know, or that changes
the sound (its length, pitch, loudness) or says how the file is to be understood, is refused: the file alone would be
another utterance.
"""

import re
import shlex
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from curate.corpora.places import inside
from curate.errors import CorpusError

_SOX_EFFECT = re.compile(r"(?:rate(?: -[hmlqv])* [\d.]+k?|channels 1|dither(?: -s)?|remix (-|1,2|[1-9][0-9]?))(?: |$)")
_WITH_HEADER = {"wav", "flac", "sph", "nist", "mp3", "ogg", "aiff", "au"}  # types that say themselves what they are
_SOX_FLAGS = "-q -D -R --no-dither -V0 -V1 -V2 -V3 -S --no-show-progress"
STREAM = "-"  # what the command before it writes


class Audio(NamedTuple):
    """Which file is read, and which of its channels; None: all of them, averaged."""

    path: str
    channel: int | None = None


class _UnknownError(ValueError):
    """Words that we cannot say the effect of."""


def audio_of(said: str, root: Path, moved_from: str | None = None) -> Audio:
    """The file, relative to the root. Raises CorpusError for a command that we do not know, and for a path outside."""
    if not said.endswith("|"):
        if re.search(r"(^-|:\d+)$", said):
            raise CorpusError(f"{said[:200]!r} is a stream or a place in an archive; expected a sound file")
        return Audio(inside(said, root, moved_from=moved_from))
    try:
        path, channel = _through(_commands(said.removesuffix("|")))
    except ValueError as error:
        raise CorpusError(
            f"command {said[:200]!r}: {error}; commands are not run, and expected is `flac -c -d -s FILE |` or "
            "another of "
            "flac, sph2pipe, sox, ffmpeg, cat, wav-copy that reads a whole file"
        ) from error
    return Audio(inside(path, root, moved_from=moved_from), channel)


def _commands(text: str) -> list[list[str]]:
    """The words of each command of a chain. Raises ValueError for anything more than a chain."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars="|&;<>()")
    lexer.whitespace_split, lexer.commenters = True, ""
    commands: list[list[str]] = [[]]
    for word in lexer:
        if word == "|":
            commands.append([])
        elif commands[-1][-2:] == ["2", ">"] and word == "/dev/null":
            del commands[-1][-2:]
        elif word != ">" and set(word) <= set("|&;<>()"):
            raise _UnknownError(f"{word[:80]!r} in it")
        else:
            commands[-1].append(word)
    if any(">" in command for command in commands):
        raise _UnknownError("'>' in it")
    return commands


def _through(commands: list[list[str]]) -> Audio:
    first, *others = [_one(words) for words in commands]
    if first.path == STREAM or any(other.path != STREAM for other in others):
        raise _UnknownError("no one file that it reads")
    picked = [one.channel for one in (first, *others) if one.channel is not None]
    return Audio(first.path, picked[0] if picked else None)  # once one is picked, the next can pick only that


def _one(words: list[str]) -> Audio:
    name = PurePosixPath(words[0]).name if words else ""
    if name not in _KNOWN:
        raise _UnknownError(f"{name[:80]!r} is not one that we know")
    audio = _KNOWN[name](words[1:])
    return audio._replace(path=STREAM) if audio.path in ("pipe:0", "pipe:", "/dev/stdin") else audio


def _options(words: list[str], flags: str, valued: str) -> tuple[dict[str, str], list[str]]:
    """Options with their values, and the other words."""
    options, others, rest = {}, [], iter(words)
    for word in rest:
        if word in valued.split():
            if word in options:
                raise _UnknownError(f"option {word!r} twice")
            options[word] = next(rest, "")
        elif word.startswith("-") and word != STREAM:
            if word not in flags.split():
                raise _UnknownError(f"option {word[:80]!r}")
        else:
            others.append(word)
    return options, others


def _only(words: list[str]) -> str:
    if len(words) != 1:
        raise _UnknownError(f"{len(words)} files")
    return words[0]


def _flac(words: list[str]) -> Audio:
    single = [one for word in words for one in ([f"-{flag}" for flag in word[1:]] if _is_bundle(word) else [word])]
    return Audio(_only(_options(single, "-c -d -s -f -F --stdout --decode --silent --totally-silent", "")[1]))


def _is_bundle(word: str) -> bool:
    return re.fullmatch("-[cdsfF]{2,}", word) is not None


def _sph2pipe(words: list[str]) -> Audio:
    options, files = _options(words, "-p -u -a", "-f -c")
    channel = options.get("-c")
    if channel not in (None, "1", "2"):
        raise _UnknownError(f"channel {channel[:80]!r}")
    return Audio(_only(files), int(channel) - 1 if channel else None)


def _cat(words: list[str]) -> Audio:
    return Audio(_only(_options(words, "", "")[1]))


def _wav_copy(words: list[str]) -> Audio:
    return Audio(_only(_to_stream(_options(words, "", "")[1])))


def _to_stream(files: list[str]) -> list[str]:
    """All but the last, which is where the output goes."""
    if files[-1:] not in ([STREAM], ["pipe:1"], ["pipe:"], ["/dev/stdout"]):
        raise _UnknownError("its sound goes to a file")
    return files[:-1]


def _ffmpeg(words: list[str]) -> Audio:
    """Options, `-i` and one file, options of what is made of it, where that goes."""
    flags = "-nostdin -hide_banner -nostats -y -n -vn -sn -dn"
    at = words.index("-i") if "-i" in words[:-1] else len(words)
    if _options(words[:at], flags, "-v -loglevel -threads")[1] or at == len(words):
        raise _UnknownError("its words")
    valued = "-v -loglevel -f -ar -ac -acodec -codec:a -c:a -threads -map_channel -af -filter:a -sample_fmt"
    options, files = _options(words[at + 2 :], flags, valued)
    if _to_stream(files) or options.get("-ac", "1") != "1":
        raise _UnknownError("its words")
    picks = [(options.get("-map_channel"), r"0\.0\.(\d+)")]
    picks += [(options.get(key), r"pan=mono\|c0=c(\d+)") for key in ("-af", "-filter:a")]
    found = [re.fullmatch(pattern, said) for said, pattern in picks if said is not None]
    if None in found or len(found) > 1:
        raise _UnknownError("its filter")
    return Audio(words[at + 1], int(found[0][1]) if found and found[0] else None)


def _sox(words: list[str]) -> Audio:
    """Options, one file in, options, one file out, effects."""
    options, path, others = _up_to_file(words, "-t --type")
    if not set(options.values()) <= _WITH_HEADER:
        raise _UnknownError("sound without a header")
    _, output, effects = _up_to_file(others, "-t --type -r --rate -b --bits -e --encoding -c --channels")
    return Audio(_only([path, *_to_stream([output])]), _sox_channel(effects))


def _up_to_file(words: list[str], valued: str) -> tuple[dict[str, str], str, list[str]]:
    """Options, the file that they are of, and what follows."""
    at = 0
    while at < len(words) and words[at].startswith("-") and words[at] != STREAM:
        at += 2 if words[at] in valued.split() else 1
    options, _ = _options(words[:at], _SOX_FLAGS, valued)
    if at >= len(words):
        raise _UnknownError("its words")
    return options, words[at], words[at + 1 :]


def _sox_channel(effects: list[str]) -> int | None:
    """Which channel `remix` picks, among effects that change nothing else."""
    text, at, picked = " ".join(effects), 0, ["-"]
    while at < len(text):
        found = _SOX_EFFECT.match(text, at)
        if not found:
            raise _UnknownError(f"effect {text[at:][:80]!r}")
        picked += [found[1]] if found[1] else []
        at = found.end()
    if len(picked) > 2:
        raise _UnknownError("two mixes")
    return int(picked[-1]) - 1 if picked[-1].isdigit() else None


_KNOWN: dict[str, Callable[[list[str]], Audio]] = {
    "flac": _flac,
    "sph2pipe": _sph2pipe,
    "sox": _sox,
    "ffmpeg": _ffmpeg,
    "cat": _cat,
    "wav-copy": _wav_copy,
}
