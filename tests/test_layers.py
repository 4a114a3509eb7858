"""The arrows of docs/design.md, enforced."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SPEED = Path("benchmarks/speed")  # measures every layer, and no layer imports it
MAY_IMPORT = {
    "curate": {"curate"},
    "benchmarks": {"benchmarks", "curate"},
    "models": {"models", "benchmarks", "curate"},
    "pages": {"pages", "benchmarks", "curate"},
    "flows": {"flows", "pages", "models", "benchmarks", "curate"},
}
FORBIDDEN = {
    "curate": {"torch", "torchaudio", "prefect"},
    "benchmarks": {"torch", "torchaudio", "prefect", "duckdb"},
    "models": {"prefect", "duckdb"},
    "pages": {"torch", "torchaudio", "prefect"},
    "flows": set(),
}
FILES = [file for layer in MAY_IMPORT for file in sorted((ROOT / layer).rglob("*.py"))]


def imported(file: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(file.read_text())))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_follow_the_arrows(file):
    is_bench = file.relative_to(ROOT).is_relative_to(SPEED)
    layer = "flows" if is_bench else file.relative_to(ROOT).parts[0]
    assert imported(file) & MAY_IMPORT.keys() <= MAY_IMPORT[layer]
    assert not imported(file) & FORBIDDEN[layer]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_file_is_a_grab_bag_or_repeats_its_folder(file):
    assert file.stem not in {"utils", "helpers", "common", "base", file.parent.name}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_nothing_is_built_on_a_bench(file):
    if not file.relative_to(ROOT).is_relative_to(SPEED):
        assert "benchmarks.speed" not in file.read_text()


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import flows.cli", {"torch", "prefect", "duckdb", "pyarrow", "pydantic", "numba"}),
        ("import curate.query, curate.explain, curate.runs", {"torch", "prefect", "pydantic", "numba"}),
        ("import curate.verify, curate.audio", {"torch", "prefect", "duckdb", "pydantic"}),
        ("import models.extractors", {"prefect", "duckdb"}),
    ],
)
def test_what_only_reads_loads_neither_torch_nor_prefect(code, absent):
    script = f"import sys; {code}; print(' '.join(sorted({absent!r} & set(sys.modules))))"
    loaded = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []
