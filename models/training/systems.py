"""The systems that can be trained, their recipes, and a recipe as a user asks for it."""

import dataclasses
import tomllib
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

from pydantic import TypeAdapter, ValidationError

from curate.errors import TrainingError
from models.common.augment import SpecAugmentSettings
from models.training.recipe import Recipe
from models.training.system import System

SYSTEMS = ("angular_prototypical", "multi_similarity")  # folders of models/


class Module(Protocol):
    """`recipe.py` of a system."""

    RECIPES: Sequence[Recipe]

    def made(self, settings: Mapping[str, Any], *, num_people: int, spec_augment: SpecAugmentSettings) -> System:
        """The system, its weights drawn by torch. Raises ValueError for settings that are none of it."""

    def begin_with(self, system: System, checkpoint: Path) -> list[str]:
        """Take the weights that fit, ours or others'; what matched, in words. Raises ExtractorError where none does."""

    def save_encoder(self, folder: Path, system: System) -> None:
        """Its network, for `curate.embed`: see `models.checkpoint`."""


def module_of(system: str) -> Module:
    """Imported when it is asked for."""
    return cast(Module, import_module(f"models.{system}.recipe"))


def recipes() -> dict[str, Recipe]:
    """All that are published, by name."""
    return {recipe.name: recipe for system in SYSTEMS for recipe in module_of(system).RECIPES}


def recipe_of(name: str, settings: Sequence[str] = ()) -> Recipe:
    """The published one of this name, or that of a TOML file whose `base` names one; with `key=value` settings on top.

    A key may have dots, `batches.speakers=20`; a value is TOML. Raises TrainingError naming what is none.
    """
    path = Path(name)
    told = _file(path) if path.suffix == ".toml" else {}
    base = told.pop("base", name)
    known = recipes()
    if base not in known:
        raise TrainingError(f"{base}: no recipe; expected one of {', '.join(known)}, or a file of yours (.toml)")
    whole = dataclasses.asdict(known[base])
    _lay_over(whole, told, path.name)
    for one in settings:
        key, equals, value = one.partition("=")
        if not equals:
            raise TrainingError(f"--set {one}: expected KEY=VALUE, such as epochs=10")
        _lay_over(whole, _nested(key.strip(), _value(one, value)), f"--set {one}")
    try:
        return TypeAdapter(Recipe).validate_json(TypeAdapter(Any).dump_json(whole))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise TrainingError(f"{name}: {where}: {first['msg']}; it has {first['input']!r}") from error


def _file(path: Path) -> dict[str, Any]:
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise TrainingError(f"{path}: cannot be read ({reason}); expected a recipe in TOML") from error
    if "base" not in told:
        raise TrainingError(f"{path}: no `base`; expected the name of a recipe that this one changes")
    return told


def _value(one: str, text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        if text and not set(text) & set("\"'[]{}=\n"):
            return text  # a word need not be quoted
        raise TrainingError(f"--set {one}: expected a value of TOML, such as 10, 0.5, true or [2.0, 4.0]") from None


def _nested(key: str, value: Any) -> dict[str, Any]:
    first, _, rest = key.partition(".")
    return {first: _nested(rest, value) if rest else value}


def _lay_over(whole: dict[str, Any], told: Mapping[str, Any], where: str, *, is_free: bool = False) -> None:
    """Sections key by key; another `schedule` is taken as it is. Keys of `settings` are for its system to check."""
    for key, value in told.items():
        if key not in whole and not is_free:
            raise TrainingError(f"{where}: no key {key!r}; expected one of {', '.join(whole)}")
        if isinstance(value, Mapping) and isinstance(whole.get(key), dict) and "schedule" not in value:
            _lay_over(whole[key], value, where, is_free=is_free or key == "settings")
        else:
            whole[key] = value
