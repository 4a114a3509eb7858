"""The README.md of a data set on the Hugging Face Hub: front matter for machines, tables for people.

Sources: https://huggingface.co/docs/hub/datasets-cards; licences that the Hub knows by an identifier:
https://huggingface.co/docs/hub/repositories-licenses.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from curate.export.outgoing import Export

LICENCES = {  # of those that the Hub knows, what speech corpora use
    "apache-2.0",
    "mit",
    "mpl-2.0",
    "gpl-3.0",
    "cc0-1.0",
    "cc-by-2.0",
    "cc-by-3.0",
    "cc-by-4.0",
    "cc-by-sa-3.0",
    "cc-by-sa-4.0",
    "cc-by-nc-2.0",
    "cc-by-nc-3.0",
    "cc-by-nc-4.0",
    "cc-by-nd-4.0",
    "cc-by-nc-nd-3.0",
    "cc-by-nc-nd-4.0",
    "cc-by-nc-sa-2.0",
    "cc-by-nc-sa-3.0",
    "cc-by-nc-sa-4.0",
    "cdla-permissive-1.0",
    "cdla-permissive-2.0",
    "cdla-sharing-1.0",
    "odbl",
    "odc-by",
    "pddl",
    "unknown",
}


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
    yield f"pretty_name: {_quoted(export.name)}"
    languages = {code for one in contents.values() for said in one.languages if (code := _language(said))}
    if languages:
        yield "language:"
        yield from (f"- {_quoted(code)}" for code in sorted(languages))
    yield from _licence(export.licence)
    yield from ("task_categories:", "- audio-classification", "tags:", "- audio", "- speaker-verification")
    yield from ("size_categories:", f"- {_size(sum(one.num_utterances for one in contents.values()))}")
    yield from ("configs:", f"- config_name: {_quoted(export.name)}", "  default: true", "  data_files:")
    yield from _files("data", contents)
    yield from (f"- config_name: {_quoted(f'trials-{export.name}')}", "  data_files:", *_files("trials", lists))
    if export.models:
        yield from (f"- config_name: {_quoted(f'models-{export.name}')}", "  data_files:", *_files("models", ["train"]))


def _files(folder: str, splits: Iterable[str]) -> Iterator[str]:
    for split in splits:
        yield from (f"  - split: {_quoted(split)}", f"    path: {_quoted(f'{folder}/{split}-*')}")


def _quoted(text: str) -> str:
    return json.dumps("".join(one if one.isprintable() else " " for one in text), ensure_ascii=False)


def _language(said: str) -> str | None:
    """The two- or three-letter code that the Hub takes, of `vi` or `vi-VN`."""
    code = re.split("[-_]", said.lower())[0]
    return code if re.fullmatch("[a-z]{2,3}", code) else None


def _licence(said: str | None) -> Iterator[str]:
    """By its identifier on the Hub; one that the Hub does not know has a name of its own."""
    words = re.sub(r"[^a-z0-9.]+", "-", (said or "unknown").lower()).strip("-.")
    if words in LICENCES:
        yield f"license: {words}"
    else:
        yield from ("license: other", f"license_name: {_quoted(words or 'other')}")


def _size(num_utterances: int) -> str:
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
        yield f'trials = load_dataset(".", {_quoted(f"trials-{export.name}")}, split={_quoted(name)})'
    if export.models:
        yield f'models = load_dataset(".", {_quoted(f"models-{export.name}")}, split="train")  # a row an utterance'
    yield "```"
