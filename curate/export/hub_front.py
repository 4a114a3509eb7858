"""The front matter of a published data set on the Hugging Face Hub, with all that the Hub's own guide asks for.

Sources: https://huggingface.co/docs/hub/datasets-cards, https://huggingface.co/docs/hub/datasets-gated and
https://github.com/huggingface/hub-docs/blob/main/datasetcard.md.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from curate.errors import ExportError
from curate.export.hub_card import hub_licence, language_code, quoted, size_category
from curate.export.licences import in_short

GATED_PROMPT = (
    "These are recordings of people's voices, or labels of such recordings. A voice is biometric: who has a second "
    "recording can find out who speaks. You agree to the terms of every corpus that this is made of, to use it for "
    "research on speech alone, and to delete what a speaker asks to be deleted."
)
GATED_FIELD = "I agree not to attempt to determine the identity of speakers"
_DTYPES = {"string": "string", "float64": "float64", "int32": "int32", "bool": "bool"}


@dataclass(frozen=True, kw_only=True)
class Part:
    """The files of one split of a configuration."""

    split: str
    pattern: str
    num_bytes: int  # uncompressed
    num_bytes_of_files: int
    num_rows: int


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """What `load_dataset` opens by one name."""

    name: str
    columns: tuple[tuple[str, str, str], ...]
    parts: tuple[Part, ...]
    has_audio: bool = False


@dataclass(frozen=True, kw_only=True)
class Front:
    """What the front matter says; text may hold anything."""

    title: str
    languages: Sequence[str]
    licences: Sequence[str | None]
    licences_of: Mapping[str, Sequence[str]]  # by split
    corpora: Sequence[str]
    configurations: Sequence[Configuration]  # the first is the default
    num_utterances: int
    has_reviewers: bool


def front_matter(front: Front) -> str:
    """The lines between the two `---`."""
    return "\n".join(_block(_values(front), ""))


def _values(front: Front) -> dict[str, Any]:
    codes = sorted({code for said in front.languages if (code := language_code(said))})
    one = front.licences[0] if len(front.licences) == 1 else None
    licence = {"license": "other", "license_name": "mixed"} if len(front.licences) > 1 else hub_licence(one)
    link = {"license_link": "LICENSE.md"} if licence["license"] == "other" else {}
    return {
        "pretty_name": front.title,
        **({"language": codes} if codes else {}),
        **({"multilinguality": ["monolingual" if len(codes) == 1 else "multilingual"]} if codes else {}),
        **licence,
        **link,
        "licences_by_split": {split: list(names) for split, names in front.licences_of.items()},
        "annotations_creators": ["found", "machine-generated", *(["expert-generated"] if front.has_reviewers else [])],
        "language_creators": ["found"],
        "size_categories": [size_category(front.num_utterances)],
        "source_datasets": [f"extended|other-{in_short(name) or 'unnamed'}" for name in front.corpora],
        "task_categories": ["audio-classification"],
        "task_ids": ["speaker-identification"],
        "tags": ["audio", "biometric", "croissant", "speaker-verification", "voxcurate"],
        "configs": [_config(one, is_first=place == 0) for place, one in enumerate(front.configurations)],
        "dataset_info": [_info(one) for one in front.configurations],
        "extra_gated_prompt": GATED_PROMPT,
        "extra_gated_fields": {GATED_FIELD: "checkbox"},
    }


def _config(one: Configuration, *, is_first: bool) -> dict[str, Any]:
    files = [{"split": part.split, "path": part.pattern} for part in one.parts]
    return {"config_name": one.name, **({"default": True} if is_first else {}), "data_files": files}


def _info(one: Configuration) -> dict[str, Any]:
    features = [{"name": "audio", "dtype": "audio"}] if one.has_audio else []
    return {
        "config_name": one.name,
        "features": [*features, *({"name": name, "dtype": _DTYPES[kind]} for name, kind, _ in one.columns)],
        "splits": [
            {"name": part.split, "num_bytes": part.num_bytes, "num_examples": part.num_rows} for part in one.parts
        ],
        "download_size": sum(part.num_bytes_of_files for part in one.parts),
        "dataset_size": sum(part.num_bytes for part in one.parts),
    }


def _block(value: Mapping[str, Any], indent: str) -> Iterator[str]:
    """YAML in block style, all text quoted: unquoted, `no` is Norwegian to some readers and false to others."""
    for key, held in value.items():
        name = key if key.isidentifier() else quoted(key)
        if isinstance(held, Mapping):
            yield f"{indent}{name}:"
            yield from _block(held, indent + "  ")
        elif isinstance(held, list):
            yield f"{indent}{name}:" if held else f"{indent}{name}: []"
            yield from _items(held, indent)
        else:
            yield f"{indent}{name}: {_scalar(held)}"


def _items(values: list[Any], indent: str) -> Iterator[str]:
    for one in values:
        if isinstance(one, Mapping):
            first, *rest = _block(one, indent + "  ")
            yield f"{indent}- {first.removeprefix(indent + '  ')}"
            yield from rest
        else:
            yield f"{indent}- {_scalar(one)}"


def _scalar(value: str | bool | int) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return quoted(value) if isinstance(value, str) else str(value)


def read_front_matter(card: str) -> dict[str, Any]:
    """What the front matter of a README.md says. Raises ExportError where there is none that can be read."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    head, mark, _ = card.removeprefix("---\n").partition("\n---\n")
    try:
        said = YAML(typ="safe", pure=True).load(io.StringIO(head)) if card.startswith("---\n") and mark else None
    except (YAMLError, ValueError, RecursionError) as error:
        raise ExportError(f"README.md: {' '.join(str(error).split())}; expected front matter in YAML") from error
    if not isinstance(said, dict):
        raise ExportError("README.md: no front matter; expected YAML between two lines of `---`")
    return said
