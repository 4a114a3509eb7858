"""Ids as Kaldi needs them: words of visible characters, in whose order the speakers are in order, too.

`utils/validate_data_dir.sh` sorts `utt2spk` by utterance and by speaker, both by bytes, and wants the same order.
"""

import re

AFTER_SPEAKER = "!"  # the lowest visible character
_QUOTED = re.compile(rf"[\s\x00-\x20\x7f{AFTER_SPEAKER}=#<>]")  # `#0` and `<s>` are words that Kaldi keeps to itself


def quoted(name: str) -> str:
    """A name as one word that no tool of Kaldi's trips over: `=20` for a blank, as in quoted-printable mail."""
    return _QUOTED.sub(lambda found: "".join(f"={byte:02X}" for byte in found[0].encode()), name)


def unquoted(word: str) -> str:
    """The name again; a word that `quoted` did not make stays as it is."""
    try:
        name = re.sub(rb"=([0-9A-F]{2})", lambda found: bytes.fromhex(found[1].decode()), word.encode()).decode()
    except UnicodeDecodeError:
        return word
    return name if quoted(name) == word else word


def key_of(speaker: str, utterance: str) -> str:
    """Kaldi's id of an utterance: its speaker comes first, so that ids in order have their speakers in order.

    What stands between is lower than anything in either name. With a hyphen, `an-x` would come after `an-b-x`, though
    `an` comes before `an-b`.
    """
    return f"{quoted(speaker)}{AFTER_SPEAKER}{quoted(utterance)}"


def names_of(speaker: str, key: str) -> tuple[str, str]:
    """Speaker and utterance, undoing `key_of`; ids that others made are taken as they are."""
    names = unquoted(speaker), unquoted(key.removeprefix(f"{speaker}{AFTER_SPEAKER}"))
    return names if names[1] and key_of(*names) == key else (speaker, key)
