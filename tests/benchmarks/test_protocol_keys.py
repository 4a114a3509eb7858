"""docs/protocols.md has every key of a protocol file, no other, and an example that is one."""

import re
import tomllib
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Literal, get_args, get_origin

import pytest
from pydantic.fields import FieldInfo

from benchmarks.protocol import (
    Figure,
    Filters,
    KeptApart,
    Metric,
    Protocol,
    Reported,
    Source,
    Split,
    TrialList,
    in_words,
    load_protocol,
)
from benchmarks.trial_rules import Rules, Side

PAGE = (Path(__file__).parents[2] / "docs" / "protocols.md").read_text(encoding="utf-8")
SECTIONS = {
    "The file": Protocol,
    "[[sources]]": Source,
    "[filters]": Filters,
    "[[splits]]": Split,
    "[[keep_apart]]": KeptApart,
    "[[trials]]": TrialList,
    "Rules: [trials.targets], [trials.nontargets]": Rules,
    "A side: enrol, test": Side,
    "[[metrics]]": Metric,
    "[reported]": Reported,
    "A figure": Figure,
}


def rows(section):
    """(key, type, default) of the section's table; a row may name several keys."""
    (own,) = re.findall(rf"^##+ {re.escape(section)}\n(.*?)(?=^#|\Z)", PAGE, flags=re.MULTILINE | re.DOTALL)
    cells = [line.strip("| ").split(" | ") for line in own.splitlines() if line.startswith("| `")]
    return [(key, kind, default) for keys, kind, default, _ in cells for key in re.findall(r"`(\w+)`", keys)]


def default_of(field):
    """`MISSING` where the key is needed."""
    told = field.default
    if isinstance(told, FieldInfo):  # pydantic's own `Field(...)`
        told = MISSING if told.is_required() else told.get_default(call_default_factory=True)
    return field.default_factory() if told is MISSING and field.default_factory is not MISSING else told


def in_toml(value):
    """As TOML would say it: sections are tables, of which an empty one has all defaults."""
    if is_dataclass(value):
        assert value == type(value)()
        return {}
    return list(value) if isinstance(value, tuple) else value


def closed(kind):
    """The values of every `Literal` within an annotation."""
    return set(get_args(kind)) if get_origin(kind) is Literal else {v for arg in get_args(kind) for v in closed(arg)}


def test_no_table_is_without_its_class():
    assert re.findall(r"^##+ (.*)", PAGE, flags=re.MULTILINE) == list(SECTIONS)


@pytest.mark.parametrize("section", SECTIONS)
def test_a_table_names_every_key_once_and_no_other(section):
    assert sorted(key for key, _, _ in rows(section)) == sorted(field.name for field in fields(SECTIONS[section]))


@pytest.mark.parametrize("section", SECTIONS)
def test_a_table_has_the_defaults(section):
    written = {key: default for key, _, default in rows(section)}
    for field in fields(SECTIONS[section]):
        default = default_of(field)
        if default is MISSING or default is None:
            assert written[field.name] == ("needed" if default is MISSING else "-"), field.name
        else:
            told = tomllib.loads(f"x = {written[field.name].strip('`')}")["x"]
            assert (told, type(told)) == (in_toml(default), type(in_toml(default))), field.name


@pytest.mark.parametrize("section", SECTIONS)
def test_a_table_names_the_values_of_a_closed_list(section):
    written = {key: set(re.findall(r'`"([^"]*)"`', kind)) for key, kind, _ in rows(section)}
    assert written == {field.name: closed(field.type) for field in fields(SECTIONS[section])}


def test_the_example_is_a_protocol(tmp_path):
    (example,) = re.findall(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL)
    (tmp_path / "my-design.toml").write_text(example, encoding="utf-8")
    protocol = load_protocol(str(tmp_path / "my-design.toml"))
    shown = {section.strip("[]") for section in SECTIONS if section.startswith("[")}
    assert shown <= {*tomllib.loads(example)}
    assert "test: from studio; 40 people, as many women as men" in in_words(protocol)
