"""The README.md of a data set on the Hugging Face Hub: front matter for machines, tables for people.

Source: https://huggingface.co/docs/hub/datasets-cards.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from curate.export.licences import SPDX, in_short
from curate.export.outgoing import Export


@dataclass
class Contents:
    """What one split was seen to hold, for the card."""

    num_utterances: int = 0
    duration_s: float = 0.0
    speakers: set[str] = field(default_factory=set)
    languages: set[str] = field(default_factory=set)
    licences: Counter[str] = field(default_factory=Counter)


def hub_card(
    export: Export, contents: dict[str, Contents], lists: Iterable[str], columns: Iterable[tuple[str, str]]
) -> str:
    """The front matter that the Hub and `datasets` read, and for people what is in it.

    `contents` are by split, as splits and `lists` are called there.
    """
    front = _front_matter(export, contents, lists)
    return "\n".join(["---", *front, "---", "", *_body(export, contents, lists, columns), ""])


def _front_matter(export: Export, contents: dict[str, Contents], lists: Iterable[str]) -> Iterator[str]:
    """YAML by hand: text stands in quotes as JSON writes it, which YAML reads."""
    yield f"pretty_name: {quoted(export.name)}"
    languages = {code for one in contents.values() for said in one.languages if (code := language_code(said))}
    if languages:
        yield "language:"
        yield from (f"- {quoted(code)}" for code in sorted(languages))
    yield from (
        f"{key}: {value if key == 'license' else quoted(value)}" for key, value in hub_licence(export.licence).items()
    )
    yield from ("task_categories:", "- audio-classification", "tags:", "- audio", "- speaker-verification")
    yield from ("size_categories:", f"- {size_category(sum(one.num_utterances for one in contents.values()))}")
    yield from ("configs:", f"- config_name: {quoted(export.name)}", "  default: true", "  data_files:")
    yield from _files("data", contents)
    yield from (f"- config_name: {quoted(f'trials-{export.name}')}", "  data_files:", *_files("trials", lists))
    if export.models:
        yield from (f"- config_name: {quoted(f'models-{export.name}')}", "  data_files:", *_files("models", ["train"]))


def _files(folder: str, splits: Iterable[str]) -> Iterator[str]:
    for split in splits:
        yield from (f"  - split: {quoted(split)}", f"    path: {quoted(f'{folder}/{split}-*')}")


def quoted(text: str) -> str:
    """A double-quoted scalar of YAML on one line, with no character in it that does not print."""
    return json.dumps("".join(one if one.isprintable() else " " for one in text), ensure_ascii=False)


def language_code(said: str) -> str | None:
    """The two- or three-letter code that the Hub takes, of `vi` or `vi-VN`."""
    code = re.split("[-_]", said.lower())[0]
    return code if re.fullmatch("[a-z]{2,3}", code) else None


def hub_licence(said: str | None) -> dict[str, str]:
    """By its identifier on the Hub; one that the Hub does not know has a name of its own."""
    words = in_short(said)
    if words in SPDX or words == "unknown":
        return {"license": words}
    return {"license": "other", "license_name": words[:80] or "other"}


def size_category(num_utterances: int) -> str:
    """Of the Hub's categories."""
    names = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B")
    return next((name for power, name in enumerate(names) if num_utterances < 10 ** (power + 3)), "n>1B")


def _body(
    export: Export, contents: dict[str, Contents], lists: Iterable[str], columns: Iterable[tuple[str, str]]
) -> Iterator[str]:
    yield from (f"# {export.name}", "")
    yield from ("| split | utterances | speakers | hours |", "| --- | --- | --- | --- |")
    for split, one in contents.items():
        yield f"| {split} | {one.num_utterances:,} | {len(one.speakers):,} | {one.duration_s / 3600:.2f} |"
    yield from ("", "| column | what it says |", "| --- | --- |", "| audio | bytes and path of the audio |")
    yield from (f"| {name} | {meaning} |" for name, meaning in columns)
    licences = sum((one.licences for one in contents.values()), Counter[str]())
    yield from ("", "| licence | utterances |", "| --- | --- |")
    for name, count in sorted(licences.items()):
        yield f"| {' '.join(name.split()).replace('|', '/')} | {count:,} |"
    yield from ("", "```python", "from datasets import load_dataset", "")
    yield f'utterances = load_dataset(".")  # in this folder; by splits: {", ".join(contents)}'
    for name in lists:
        yield f'trials = load_dataset(".", {quoted(f"trials-{export.name}")}, split={quoted(name)})'
    if export.models:
        yield f'models = load_dataset(".", {quoted(f"models-{export.name}")}, split="train")  # a row an utterance'
    yield "```"
