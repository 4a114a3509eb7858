"""A published folder in Croissant 1.1: its files, the records in them, where they come from, what to be careful about.

The JSON-LD is written by hand: it is plain data. Record sets are `splits` (of `cr:Split`), `utterances`, one a list of
trials, and `models` where there are some. Provenance is PROV-O's: corpora are entities, steps of the ledger activities.
`lacking` says what the specification requires and is not there: mlcroissant only warns of some of it.

Format: http://mlcommons.org/croissant/1.1 and http://mlcommons.org/croissant/RAI/1.0.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any
from urllib.parse import quote

from curate.export.licences import spdx_url

CONFORMS_TO = ("http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0")
REQUIRED = ("@context", "@type", "conformsTo", "name", "description", "url", "license", "creator", "datePublished")
RAI_REQUIRED = ("dataCollection", "dataPreprocessingProtocol", "dataBiases", "personalSensitiveInformation")
_ONE = ("dataCollection",)  # which may have one value alone
PARQUET = "application/x-parquet"
_SHARED = {  # names that Croissant's own context gives to its terms
    **{
        name: f"cr:{name}"
        for name in (
            *("arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field"),
            *("fileObject", "fileProperty", "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath"),
            *("key", "md5", "parentField", "path", "recordSet", "references", "regex", "repeated", "replace"),
            *("samplingRate", "separator", "source", "subField", "transform"),
        )
    },
    **{name: {"@id": f"cr:{name}", "@type": "@json"} for name in ("data", "examples")},
    **{name: {"@container": "@language"} for name in ("name", "description")},
    "conformsTo": "dct:conformsTo",
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
}
CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "prov": "http://www.w3.org/ns/prov#",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    **_SHARED,
}
_TYPES = {"string": "sc:Text", "float64": "sc:Float", "int32": "sc:Integer", "bool": "sc:Boolean"}
_SHARD = r"^(.+?)(?:-\d{5}-of-\d{5}\.parquet)?$"  # of a file its split, and of a split itself
_KINDS = (
    ("cr:TrainingSplit", re.compile("train")),
    ("cr:ValidationSplit", re.compile("val|dev")),
    ("cr:TestSplit", re.compile("test|eval|enrol")),
)

Columns = Iterable[tuple[str, str, str]]  # name, type, meaning


@dataclass(frozen=True, kw_only=True)
class File:
    """One file of the folder."""

    path: str  # relative to it
    num_bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Origin:
    """One corpus that something was taken from."""

    name: str
    licences: tuple[str, ...]
    citation: str | None
    url: str | None


@dataclass(frozen=True, kw_only=True)
class Step:
    """One thing that was done, and what came of it in words."""

    name: str
    found: str


@dataclass(frozen=True, kw_only=True)
class Told:
    """All that the description says; names and words may hold anything."""

    name: str
    description: str
    url: str
    licences: tuple[str, ...]
    creators: tuple[str, ...]
    published: date
    version: str
    cite_as: str
    languages: tuple[str, ...]
    made_with: str
    files: tuple[File, ...]  # those with records
    splits: Mapping[str, tuple[int, int]]  # utterances and people
    lists: Mapping[str, tuple[int, int]]  # targets and nontargets; as files are called
    columns: tuple[tuple[str, str, str], ...]
    trial_columns: tuple[tuple[str, str, str], ...]
    model_columns: tuple[tuple[str, str, str], ...]  # none: no models
    has_audio: bool
    origins: tuple[Origin, ...]
    steps: tuple[Step, ...]
    rai: Mapping[str, tuple[str, ...]]  # by the property's name


def croissant(told: Told) -> dict[str, Any]:
    """The JSON-LD."""
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "name": told.name,
        "description": told.description,
        "conformsTo": list(CONFORMS_TO),
        "url": told.url,
        "license": [_licence(one) for one in told.licences],
        "creator": [{"@type": "sc:Organization", "name": one} for one in told.creators],
        "datePublished": told.published.isoformat(),
        "version": told.version,
        "citeAs": told.cite_as,
        "keywords": ["speaker verification", "speech", "audio"],
        **({"inLanguage": list(told.languages)} if told.languages else {}),
        **{f"rai:{name}": "; ".join(said) if name in _ONE else list(said) for name, said in told.rai.items()},
        "prov:wasDerivedFrom": [_entity(one) for one in told.origins],
        "prov:wasGeneratedBy": [_activity(place, one, told) for place, one in enumerate(told.steps)],
        "distribution": [*(_file_object(one) for one in told.files), _utterance_files()],
        "recordSet": [_splits(told), _utterances(told), *_trials(told), *_models(told)],
    }


def _licence(said: str) -> str | dict[str, str]:
    return spdx_url(said) or {"@type": "sc:CreativeWork", "name": said}


def _entity(one: Origin) -> dict[str, Any]:
    told = {"license": [_licence(said) for said in one.licences], "citation": one.citation, "url": one.url}
    plain = {"@type": "prov:Entity", "@id": f"corpus/{quote(one.name, safe='')}", "prov:label": one.name}
    return plain | {name: said for name, said in told.items() if said}


def _activity(place: int, one: Step, told: Told) -> dict[str, Any]:
    return {
        "@type": "prov:Activity",
        "@id": f"step/{place}",
        "prov:label": one.name,
        "description": one.found,
        "prov:used": [{"@id": f"corpus/{quote(origin.name, safe='')}"} for origin in told.origins],
        "prov:wasAssociatedWith": {"@type": "prov:SoftwareAgent", "@id": "agent/0", "prov:label": told.made_with},
    }


# ------------------------------------------------------------------------------------------------- files and records


def _file_object(one: File) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": one.path,
        "name": one.path,
        "contentUrl": one.path,
        "contentSize": f"{one.num_bytes} B",
        "encodingFormat": PARQUET,
        "sha256": one.sha256,
    }


def _utterance_files() -> dict[str, Any]:
    """All shards of all splits, as one table."""
    return {
        "@type": "cr:FileSet",
        "@id": "utterance-files",
        "name": "utterance-files",
        "description": "The shards of all splits.",
        "encodingFormat": PARQUET,
        "includes": "data/*.parquet",
    }


def _splits(told: Told) -> dict[str, Any]:
    columns = (
        ("name", "sc:Text", "as its files begin"),
        ("url", "sc:URL", "what it is for"),
        ("num_utterances", "sc:Integer", "that it has"),
        ("num_people", "sc:Integer", "who speak them"),
    )
    fields = [_named("splits", *column) for column in columns]
    values = [(name, _purpose(name), *counts) for name, counts in told.splits.items()]
    keys = [field["@id"] for field in fields]
    return {
        "@type": "cr:RecordSet",
        "@id": "splits",
        "name": "splits",
        "description": "The splits, with how much each has.",
        "dataType": "cr:Split",
        "key": {"@id": "splits/name"},
        "field": fields,
        "data": [dict(zip(keys, row, strict=True)) for row in values],
    }


def _purpose(split: str) -> str:
    return next((url for url, called in _KINDS if called.search(split.lower())), "cr:Split")


def _utterances(told: Told) -> dict[str, Any]:
    source = {"fileSet": {"@id": "utterance-files"}}
    split = _named("utterances", "split", "sc:Text", "which it is in") | {
        "source": source | {"extract": {"fileProperty": "filename"}, "transform": {"regex": _SHARD}},
        "references": {"field": {"@id": "splits/name"}},
    }
    audio = _named("utterances", "audio", "sc:AudioObject", "the bytes of the audio, in the format of its file") | {
        "source": source | {"extract": {"column": "audio"}, "transform": {"jsonPath": "bytes"}}
    }
    fields = [split, *([audio] if told.has_audio else []), *_fields("utterances", told.columns, source)]
    about = "A row an utterance, with its audio." if told.has_audio else "A row an utterance; its audio is not here."
    key = {"key": {"@id": "utterances/utterance_id"}}
    return _record_set("utterances", "utterances", about, fields) | key


def _trials(told: Told) -> list[dict[str, Any]]:
    sets = []
    for name, (num_targets, num_nontargets) in told.lists.items():
        source = {"fileObject": {"@id": f"trials/{name}-00000-of-00001.parquet"}}
        about = f"The list of trials {name}: {num_targets} targets, {num_nontargets} nontargets."
        sets.append(
            _record_set(
                f"trials-{name}", f"trials {name}", about, _fields(f"trials-{name}", told.trial_columns, source)
            )
        )
    return sets


def _models(told: Told) -> list[dict[str, Any]]:
    if not told.model_columns:
        return []
    source = {"fileObject": {"@id": "models/train-00000-of-00001.parquet"}}
    about = "A row an utterance of a model that trials enrol."
    return [_record_set("models", "models", about, _fields("models", told.model_columns, source))]


def _record_set(at: str, name: str, about: str, fields: list[dict[str, Any]]) -> dict[str, Any]:
    return {"@type": "cr:RecordSet", "@id": at, "name": name, "description": about, "field": fields}


def _fields(at: str, columns: Columns, source: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        _named(at, name, _TYPES[kind], meaning) | {"source": {**source, "extract": {"column": name}}}
        for name, kind, meaning in columns
    ]


def _named(at: str, name: str, kind: str, meaning: str) -> dict[str, Any]:
    return {"@type": "cr:Field", "@id": f"{at}/{name}", "name": name, "description": meaning, "dataType": kind}


# --------------------------------------------------------------------------------------------- what must not be lacking


def lacking(jsonld: Mapping[str, Any]) -> list[str]:
    """What Croissant 1.1 requires of a data set, and of its files and record sets, and is absent or empty, by name.

    Of the RAI extension those that this project always says.
    """
    missing = [name for name in (*REQUIRED, "distribution", "recordSet") if not jsonld.get(name)]
    missing += [f"rai:{name}" for name in RAI_REQUIRED if not jsonld.get(f"rai:{name}")]
    if CONFORMS_TO[0] not in _listed(jsonld.get("conformsTo")):
        missing.append(f"conformsTo {CONFORMS_TO[0]}")
    missing += ["creator/name" for one in _listed(jsonld.get("creator")) if not one.get("name")]
    for one in _listed(jsonld.get("distribution")):
        asked = ("@id", "encodingFormat", *_OF_FILES.get(one.get("@type"), ("@type",)))
        missing += [f"{one.get('@id')}/{name}" for name in asked if not one.get(name)]
    for one in _listed(jsonld.get("recordSet")):
        missing += [f"{one.get('@id')}/{name}" for name in ("@id", "field") if not one.get(name)]
        for field in one.get("field", []):
            missing += [f"{field.get('@id')}/{name}" for name in ("@id", "dataType") if not field.get(name)]
    return missing


_OF_FILES = {"cr:FileObject": ("contentUrl", "sha256"), "cr:FileSet": ("includes",)}


def _listed(said: Any) -> list[Any]:
    return said if isinstance(said, list) else [] if said is None else [said]
