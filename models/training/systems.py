"""The systems that can be trained, their recipes, and a recipe as a user asks for it."""

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

from pydantic import ConfigDict, TypeAdapter, ValidationError

from curate.errors import TrainingError
from models.common.augment import SpecAugmentSettings
from models.training.recipe import Recipe
from models.training.schedules import WITH_RATE
from models.training.system import System

SYSTEMS = (
    "age_adversarial",
    "angular_prototypical",
    "disjoint_mtl",
    "hard_prototypes",
    "mixup_distillation",
    "multi_similarity",
)  # folders of models/
KIND_OF_SCHEDULE = "schedule.schedule"
ANYTHING: TypeAdapter[Any] = TypeAdapter(Any, config=ConfigDict(ser_json_inf_nan="constants"))  # not null for inf


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

    A key may have dots, `batches.speakers=20`; a value is TOML, a bare word, or `none`. Raises TrainingError naming
    what is none.
    """
    base, told = _told(name)
    known = recipes()
    if base not in known:
        raise TrainingError(f"{base[:80]}: no recipe; expected one of {', '.join(known)}, or a file of yours (.toml)")
    whole = known[base].plain()
    _lay_over(whole, told, name)
    for one, key, value in sorted(map(_setting, settings), key=lambda setting: setting[1] != KIND_OF_SCHEDULE):
        _lay_over(whole, _nested(key, value), f"--set {one}")
    try:
        found = TypeAdapter(Recipe).validate_json(ANYTHING.dump_json(whole))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part)[:80] for part in first["loc"])
        raise TrainingError(f"{name}: {where}: {first['msg']}; it has {repr(first['input'])[:100]}") from error
    if found.system not in SYSTEMS:
        raise TrainingError(f"{name}: system {found.system[:80]!r}; expected one of {', '.join(SYSTEMS)}")
    return found


def age_scheme_of(recipe: Recipe) -> str | None:
    """The scheme of ages (`curate.ages.groups_of`) that its system tells; None where it tells none."""
    scheme: str | None = recipe.settings.get("scheme")
    return scheme


def in_toml(name: str, settings: Sequence[str] = ()) -> str:
    """The same recipe, a key a line, as `--set` takes it and as a file of one's own (.toml) may hold it.

    What is not set stands there as a comment. Raises as `recipe_of`.
    """
    base, _ = _told(name)
    return "\n".join([f"base = {_as_toml(base)}", *_lines(recipe_of(name, settings).plain(), "")])


def _told(name: str) -> tuple[str, dict[str, Any]]:
    """Which published recipe is meant, and what a file says otherwise."""
    path = Path(name)
    if path.suffix != ".toml":
        return name, {}
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise TrainingError(f"{path}: cannot be read ({reason}); expected a recipe in TOML") from error
    base = told.pop("base", None)
    if not isinstance(base, str):
        raise TrainingError(f"{path}: no `base`; expected the name of a recipe that this one changes")
    return base, told


def _setting(one: str) -> tuple[str, str, Any]:
    """What was given, its key and its value."""
    key, equals, text = (part.strip() for part in one.partition("="))
    if not equals:
        raise TrainingError(f"--set {one}: expected KEY=VALUE, such as epochs=10")
    try:
        return one, key, None if text == "none" else tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        if text and not set(text) & set("\"'[]{}=#\n"):
            return one, key, text  # a word need not be quoted
        raise TrainingError(f"--set {one}: expected a value of TOML, such as 10, 0.5, true or [2.0, 4.0]") from None


def _nested(key: str, value: Any) -> dict[str, Any]:
    first, _, rest = key.partition(".")
    return {first: _nested(rest, value) if rest else value}


def _lay_over(whole: dict[str, Any], told: Mapping[str, Any], where: str, *, is_free: bool = False) -> None:
    """Sections key by key; a schedule of another kind has of the one before the rate alone, where both have one.

    Keys of `settings` are for its system to check, those of a schedule for its kind.
    """
    for key, value in told.items():
        if key not in whole and not is_free:
            raise TrainingError(f"{where}: no key {key[:80]!r}; expected one of {', '.join(whole)}")
        before = whole.get(key)
        if isinstance(value, Mapping) and isinstance(before, dict) and _are_alike(before, value):
            _lay_over(before, value, where, is_free=is_free or key in ("settings", "schedule"))
        else:
            whole[key] = {**_rate_of(before, value), **value} if isinstance(value, Mapping) else value


def _rate_of(before: Any, told: Mapping[str, Any]) -> dict[str, Any]:
    """What a schedule of another kind keeps of the one before."""
    is_kept = isinstance(before, Mapping) and "rate" in before and told.get("schedule") in WITH_RATE
    return {"rate": before["rate"]} if is_kept else {}


def _are_alike(before: Mapping[str, Any], told: Mapping[str, Any]) -> bool:
    """Whether both are schedules of one kind; no other section has that key."""
    kind = before.get("schedule")
    return bool(told.get("schedule", kind) == kind)


def _lines(told: Mapping[str, Any], before: str) -> Iterator[str]:
    for key, value in told.items():
        if isinstance(value, dict) and value:
            yield from _lines(value, f"{before}{key}.")
        elif value is None:
            yield f"# {before}{key} = none"
        else:
            yield f"{before}{key} = {_as_toml(value)}"


def _as_toml(value: Any) -> str:
    """As TOML has it, which for texts, numbers and lists is how JSON has it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_as_toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_as_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
