"""SpeechBrain's hyperparams.yaml read as data: what it would make is written down, and nothing of it is run.

The file is code for HyperPyYAML, whose loader imports and calls what the tags name, in a string `(...)` too. Here
`!new:` and `!name:` become a `Part`, `!ref` and `!copy` are looked up, and any other tag is refused. Keys that begin
with two underscores, which stand for effects alone such as seeding, are left out unread.
"""

import ast
import copy
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from curate.errors import ExtractorError

PACKAGES = ("speechbrain.", "torch.", "torchaudio.")
REFERENCE = re.compile(r"<([^<>]*)>")
KEY = re.compile(r"[^\[\]]+")  # of the keys of `a[b][c]`
TUPLE = re.compile(r"\((.*)\)")
MAX_TEXT = 10_000  # characters, also of what references make longer
MAX_EXTENT = 100_000  # texts and numbers, each counted as often as it is named: published files have some hundred
ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """An object that the file would make (`!new:`), or a class that it names (`!name:`); shared where it is shared."""

    target: str
    is_made: bool
    args: list[Any] = field(default_factory=list)
    kwargs: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Reference:
    text: str
    is_copy: bool


class Hyperparams:
    """What one file says, looked up by key with references followed."""

    def __init__(self, file: Path) -> None:
        """Raises ExtractorError for a file that is no hyperparams.yaml or holds a tag that is refused."""
        self.file = file
        self._raw = _read(file)
        self._resolved: dict[int, Any] = {}
        self._under_way: set[int] = set()
        self._extents: dict[int, int] = {}

    def get(self, *keys: str) -> Any:
        """The value at these keys, one below another; None where there is none."""
        try:
            return self._value_at(keys)
        except KeyError:
            return None

    def _value_at(self, keys: Sequence[str]) -> Any:
        value: Any = self._raw
        for key in keys:
            value = self._resolve(value) if isinstance(value, _Reference) else value
            value = value.kwargs if isinstance(value, Part) else value
            if not isinstance(value, dict) or key not in value:
                raise KeyError(key)
            value = value[key]
        return self._resolve(value)

    def _resolve(self, value: Any) -> Any:
        """References followed, each object of the file once: what is shared in it stays shared."""
        if isinstance(value, str):
            return self._tuple(value)
        if not isinstance(value, (dict, list, Part, _Reference)):
            return value
        if id(value) not in self._resolved:
            if id(value) in self._under_way:
                raise ExtractorError(f"{self.file}: something in it refers to itself; expected SpeechBrain's form")
            self._under_way.add(id(value))
            resolved = self._resolve_inside(value)
            self._require_few(resolved)
            self._resolved |= {id(value): resolved, id(resolved): resolved}
            self._under_way.discard(id(value))
        return self._resolved[id(value)]

    def _resolve_inside(self, value: Any) -> Any:
        match value:
            case _Reference():
                return self._look_up(value)
            case Part():
                return replace(value, args=self._resolve(value.args), kwargs=self._resolve(value.kwargs))
            case dict():
                return {key: self._resolve(one) for key, one in value.items()}
        return [self._resolve(one) for one in value]

    def _require_few(self, resolved: Any) -> None:
        """Raises ExtractorError for what names its parts over and over: who walks through it would never end."""
        inside = [*resolved.args, *resolved.kwargs.values()] if isinstance(resolved, Part) else resolved
        inside = inside.values() if isinstance(inside, dict) else inside if isinstance(inside, list) else ()
        extent = 1 + sum(self._extents.get(id(one), 1) for one in inside)
        if extent > MAX_EXTENT:
            raise ExtractorError(f"{self.file}: names the same over and over; expected SpeechBrain's form")
        self._extents[id(resolved)] = extent

    def _look_up(self, reference: _Reference) -> Any:
        whole = REFERENCE.fullmatch(reference.text)
        if not whole:
            text = reference.text[:MAX_TEXT]
            text = REFERENCE.sub(lambda found: str(self._at(found[1])), text)
            if max(len(text), len(reference.text)) > MAX_TEXT:
                raise ExtractorError(f"{self.file}: a reference of more than {MAX_TEXT} characters; expected a value")
            return _arithmetic(text)
        return copy.deepcopy(self._at(whole[1])) if reference.is_copy else self._at(whole[1])

    def _at(self, path: str) -> Any:
        try:
            return self._value_at(KEY.findall(path))
        except KeyError as error:
            raise ExtractorError(f"{self.file}: <{path}> is not in it; expected the name of one of its keys") from error

    def _tuple(self, text: str) -> Any:
        inside = TUPLE.fullmatch(text)
        return tuple(_load(self.file, f"[{inside[1]}]")) if inside else text


def _read(file: Path) -> dict[str, Any]:
    try:
        content = _load(file, file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ExtractorError(f"{file}: cannot be read as text; expected SpeechBrain's hyperparams.yaml") from error
    if not isinstance(content, dict):
        raise ExtractorError(f"{file}: not a mapping of keys; expected SpeechBrain's hyperparams.yaml")
    return content


def _load(file: Path, text: str) -> Any:
    yaml = YAML(typ="safe", pure=True)
    yaml.Constructor = _Constructor
    try:
        root = yaml.compose(text)
        if _extent(root, {}) > MAX_EXTENT:
            raise ValueError("it names the same over and over")
        if isinstance(root, MappingNode):
            root.value = [(key, value) for key, value in root.value if not str(key.value).startswith("__")]
        return None if root is None else yaml.constructor.construct_document(root)
    except (YAMLError, ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0]
        raise ExtractorError(f"{file}: not YAML ({reason}); expected SpeechBrain's hyperparams.yaml") from error
    except _RefusedTagError as error:
        raise ExtractorError(
            f"{file}: {error} is not loaded, as it could run anything; expected !new: or !name: of speechbrain, torch"
            " or torchaudio, !ref, !copy or !tuple"
        ) from error


def _extent(node: Node | None, known: dict[int, int]) -> int:
    """How many nodes there are, those of an alias as often as it is named; one within itself counts once."""
    if isinstance(node, ScalarNode) or node is None:
        return 1
    if id(node) not in known:
        known[id(node)] = 1
        inside = [one for pair in node.value for one in pair] if isinstance(node, MappingNode) else node.value
        known[id(node)] = 1 + sum(_extent(one, known) for one in inside)
    return known[id(node)]


class _RefusedTagError(Exception):
    """A tag, which is its message."""


class _Constructor(SafeConstructor):
    """Plain YAML, and the tags that name or refer."""


def _reference(is_copy: bool) -> Callable[[SafeConstructor, Node], _Reference]:
    return lambda constructor, node: _Reference(str(constructor.construct_scalar(node)), is_copy)


def _part(is_made: bool) -> Callable[[SafeConstructor, str, Node], Part]:
    def construct(constructor: SafeConstructor, target: str, node: Node) -> Part:
        if not target.startswith(PACKAGES):
            raise _RefusedTagError(node.tag)
        match node:
            case MappingNode():
                return Part(target=target, is_made=is_made, kwargs=constructor.construct_mapping(node, deep=True))
            case SequenceNode():
                return Part(target=target, is_made=is_made, args=constructor.construct_sequence(node, deep=True))
        return Part(target=target, is_made=is_made)

    return construct


def _text(constructor: SafeConstructor, node: ScalarNode) -> Any:
    return constructor.construct_scalar(node)


def _refuse(constructor: SafeConstructor, node: Node) -> Any:
    raise _RefusedTagError(node.tag)


_Constructor.add_multi_constructor("!new:", _part(is_made=True))
_Constructor.add_multi_constructor("!name:", _part(is_made=False))
_Constructor.add_constructor("!ref", _reference(is_copy=False))
_Constructor.add_constructor("!copy", _reference(is_copy=True))
_Constructor.add_constructor("!tuple", _text)
_Constructor.add_constructor(None, _refuse)


def _arithmetic(text: str) -> Any:
    """A sum, difference, product or quotient of numbers as its value; anything else as it stands."""
    try:
        return _evaluated(ast.parse(text, mode="eval").body)
    except (SyntaxError, ValueError, ArithmeticError, RecursionError, MemoryError):  # the latter of deep brackets
        return text


def _evaluated(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=int() | float() as number):
            return number
        case ast.BinOp(left=left, op=kind, right=right) if type(kind) in ARITHMETIC:
            found = ARITHMETIC[type(kind)](_evaluated(left), _evaluated(right))
            if isinstance(found, float) or found.bit_length() <= 64:
                return found
    raise ValueError("no arithmetic")
