"""What could let the machine into a result is told by looking: folders, sets, hashes, clocks, locales."""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAYERS = ("curate", "benchmarks", "models", "pages", "flows")
BENCHES = ROOT / "benchmarks" / "speed"  # their results are times
FILES = [file for layer in LAYERS for file in sorted((ROOT / layer).rglob("*.py")) if BENCHES not in file.parents]
LISTING = {"scandir", "listdir", "iterdir", "glob", "rglob", "walk"}
ORDER_FREE = {"sorted", "any", "all", "min", "max", "len", "set", "frozenset"}
ANY_ORDER = {  # lists a folder as it comes, and nothing of the order is left
    "curate/blocks.py": "takes away what is unfinished",
    "curate/corpora/inventory.py": "goes into SQLite, which answers in order",
    "curate/corpora/places.py": "sorts what it made of the entries",
    "curate/export/manifest.py": "a dictionary that its readers sort",
    "curate/export/writing.py": "takes away what is unfinished",
    "curate/whole.py": "looks at each for a link that leads out; one of them is named",
    "flows/planting.py": "takes away each",
    "flows/reading.py": "uploads each file of a scan to a place of its own",
    "models/common/augment.py": "sorts what it found, two lines below",
    "models/extractors/hub.py": "names that are looked up, and sorted where one is chosen",
    "models/training/checkpoints.py": "flushes or takes away each; the last is the greatest",
}
SETS = {  # goes through a set, and nothing of its order is left
    "benchmarks/planting/account.py": "a dictionary that is only looked up",
    "curate/catalog.py": "takes away each",
    "curate/corpora/nist_sre08.py": "gathers sets, of which the least name is taken",
    "models/data/labels.py": "a dictionary that is only looked up",
}
NOT_FILES = {"os", "gzip", "tarfile", "av"}  # whose `open` is of bytes, as that of a store with blocks is
CLOCKS = {"today", "utcnow", "utcfromtimestamp", "localtime", "ctime", "asctime", "mktime", "setlocale", "localeconv"}


def parents(tree: ast.AST) -> dict[ast.AST, ast.AST]:
    return {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}


def named(call: ast.AST) -> str | None:
    """`f` of `f(...)` and of `a.b.f(...)`."""
    if not isinstance(call, ast.Call):
        return None
    return getattr(call.func, "attr", None) or getattr(call.func, "id", None)


def is_order_free(node: ast.AST, above: dict[ast.AST, ast.AST]) -> bool:
    """Whether what iterates over this hands it to something that does not care for an order."""
    outer = above.get(node)
    while isinstance(outer, ast.comprehension | ast.GeneratorExp | ast.ListComp | ast.Starred):
        outer = above.get(outer)
    return isinstance(outer, ast.SetComp) or named(outer) in ORDER_FREE


def is_set(node: ast.AST) -> bool:
    """Whether it is a set by its looks: a display, `set(...)`, and what comes of two of them or of keys."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd | ast.BitOr | ast.Sub | ast.BitXor):
        return any(is_set(one) or named(one) == "keys" for one in (node.left, node.right))
    return isinstance(node, ast.Set | ast.SetComp) or named(node) in ("set", "frozenset")


def listings(tree: ast.AST) -> Iterator[ast.AST]:
    """Calls that list a folder in an order that stays."""
    above = parents(tree)
    yield from (node for node in ast.walk(tree) if named(node) in LISTING and not is_order_free(node, above))


def sets_in_order(tree: ast.AST) -> Iterator[ast.AST]:
    """Sets that are gone through one by one, or made a list of."""
    above = parents(tree)
    for node in ast.walk(tree):
        outer = above.get(node)
        goes_through = isinstance(outer, ast.For | ast.comprehension) and outer.iter is node
        is_given = (
            named(outer) in ("list", "tuple", "join", "enumerate", "next", "iter", "array") and node in outer.args
        )
        if is_set(node) and (goes_through or is_given) and not (goes_through and is_order_free(node, above)):
            yield node


def moments(tree: ast.AST) -> Iterator[ast.AST]:
    """Hashes of this process, moments without a zone, and locales."""
    for node in ast.walk(tree):
        bare = isinstance(node, ast.Call) and not node.args and not node.keywords
        is_hash = named(node) == "hash" and owner(node) is None
        imports = isinstance(node, ast.Import) and any(alias.name == "locale" for alias in node.names)
        is_local = (named(node), owner(node)) == ("now", "datetime") or named(node) == "astimezone"
        if is_hash or imports or named(node) in CLOCKS or (bare and is_local):
            yield node


def unsaid_encodings(tree: ast.AST) -> Iterator[ast.AST]:
    """Text that is read or written as the locale says."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or any(one.arg in ("encoding", "block_size") for one in node.keywords):
            continue
        name, given = named(node), len(node.args)
        is_method = isinstance(node.func, ast.Attribute)
        if name == "read_text" and is_method and not given:
            yield node
        if name == "write_text" and is_method and given == 1:  # ours takes a path and a text, and is UTF-8
            yield node
        if name == "open" and owner(node) not in NOT_FILES and is_text(node.args[0 if is_method else 1 :]):
            yield node


def owner(call: ast.AST) -> str | None:
    """`a` of `a.f(...)`."""
    value = getattr(getattr(call, "func", None), "value", None)
    return value.id if isinstance(value, ast.Name) else None


def is_text(arguments: list[ast.expr]) -> bool:
    """Whether a file that is opened with these, from its mode on, is one of text."""
    mode = arguments[0].value if arguments and isinstance(arguments[0], ast.Constant) else "r"
    return "b" not in str(mode)


def found(kind: Callable[[ast.AST], Iterator[ast.AST]], file: Path) -> list[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return [f"{file.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)}" for node in kind(tree)]


def test_every_folder_is_listed_in_order_or_for_something_without_one():
    lines = [line for file in FILES for line in found(listings, file)]
    assert [line for line in lines if line.partition(":")[0] not in ANY_ORDER] == []
    assert {line.partition(":")[0] for line in lines} == ANY_ORDER.keys()  # and the table says nothing that is past


def test_no_set_is_gone_through_for_something_that_has_an_order():
    lines = [line for file in FILES for line in found(sets_in_order, file)]
    assert [line for line in lines if line.partition(":")[0] not in SETS] == []
    assert {line.partition(":")[0] for line in lines} == SETS.keys()


@pytest.mark.parametrize("kind", [moments, unsaid_encodings], ids=lambda kind: kind.__name__)
def test_no_code_takes_a_hash_a_local_time_or_the_encoding_of_the_locale(kind):
    assert [line for file in FILES for line in found(kind, file)] == []


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (listings, "[p for p in folder.iterdir()]"),
        (listings, "for p in os.scandir(x): pass"),
        (listings, "list(folder.rglob('*'))"),
        (sets_in_order, "for x in {1, 2}: print(x)"),
        (sets_in_order, "[x for x in a.keys() - b]"),
        (sets_in_order, "', '.join(set(names))"),
        (moments, "hash(x)"),
        (moments, "datetime.now()"),
        (moments, "date.today()"),
        (unsaid_encodings, "path.read_text()"),
        (unsaid_encodings, "path.write_text(text)"),
        (unsaid_encodings, "open(path)"),
        (unsaid_encodings, "path.open('w')"),
    ],
)
def test_what_is_looked_for_is_seen(kind, code):
    assert list(kind(ast.parse(code)))


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (listings, "sorted(p for p in folder.glob('*') if p)"),
        (listings, "any(folder.iterdir())"),
        (sets_in_order, "sorted({1, 2})"),
        (sets_in_order, "{f(x) for x in {1, 2}}"),
        (moments, "datetime.now(UTC)"),
        (unsaid_encodings, "path.read_text(encoding='utf-8')"),
        (unsaid_encodings, "path.open('rb')"),
    ],
)
def test_and_nothing_else(kind, code):
    assert not list(kind(ast.parse(code)))
