"""The figures that keep the house easy to inherit: files and functions that fit on a screen, and one meaning a name."""

import ast
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parents[2]
MOST_LINES = 350
MOST_LINES_OF_A_FUNCTION = 50
SHARED = {"main"}
"""What every module that runs by `python -m` has."""


def tracked(*patterns: str) -> list[Path]:
    """Files of the repository; of an unpacked archive, which git knows nothing of, those that are there."""
    done = subprocess.run(["git", "ls-files", "-z", *patterns], cwd=ROOT, capture_output=True, text=True, check=False)
    names = done.stdout.split("\0")[:-1] if done.returncode == 0 else []
    return [ROOT / name for name in names if (ROOT / name).is_file() and not (ROOT / name).is_symlink()]


SOURCES = tracked("*.py") or pytest.skip("no git checkout", allow_module_level=True)


def functions(file: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_no_file_is_longer_than_a_reader_keeps_in_mind() -> None:
    long = {str(f.relative_to(ROOT)): n for f in SOURCES if (n := len(f.read_text("utf-8").splitlines())) > MOST_LINES}
    assert long == {}


def test_no_function_is_longer_than_a_screen() -> None:
    long = [
        f"{file.relative_to(ROOT)}: {function.name}"
        for file in SOURCES
        for function in functions(file)
        if (function.end_lineno or 0) - function.lineno >= MOST_LINES_OF_A_FUNCTION
    ]
    assert long == []


def test_a_public_name_is_defined_once() -> None:
    """Of functions and classes: grep and a stack trace then lead to one place."""
    homes = defaultdict(set)
    for file in SOURCES:
        if file.relative_to(ROOT).parts[0] in ("tests", "examples", "docs", "src"):
            continue
        for node in ast.parse(file.read_text("utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name[0] != "_":
                homes[node.name].add(str(file.relative_to(ROOT)))
    assert {name: sorted(files) for name, files in homes.items() if len(files) > 1 and name not in SHARED} == {}


def test_no_module_imports_one_that_imports_it() -> None:
    """Imports within functions and those for type checkers count as well."""
    graph = grimp.build_graph("vesselrt")
    circles: list[str] = []
    above: dict[str, set[str]] = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    try:
        TopologicalSorter(above).prepare()
    except CycleError as error:
        circles = error.args[1]
    assert circles == []
