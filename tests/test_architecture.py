"""Who may import whom, walked over the package's syntax trees; each failure says how to mend it."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

import airflow_provider_looker_segment

PACKAGE = "airflow_provider_looker_segment"
ROOT = Path(airflow_provider_looker_segment.__file__).parent
MAX_LINES = 400

PURE_EXTRAS = frozenset({"jsonschema", "msgspec", "referencing"})
"""What core may import beside the standard library: JSON Schema with its own reference library,
and a parser of JSON."""

IMPURE_STANDARD = frozenset(
    {"asyncio", "http", "logging", "os", "random", "secrets", "select", "socket", "ssl"}
    | {"subprocess", "threading", "time", "urllib", "multiprocessing"}
)
"""Standard modules that talk to the world, read its clock or its chance."""

CLOCKS = frozenset({"datetime.now", "datetime.utcnow", "datetime.today", "date.today"})
"""How a module would read the clock."""

SDK_HOMES = {"looker_sdk": "hooks/looker.py", "segment": "hooks/segment.py"}
"""The only file that may import each SDK."""

SIDES = {
    "looker": frozenset({"hooks.looker", "operators.looker", "triggers.looker"}),
    "segment": frozenset({"hooks.segment", "hooks.delivery", "operators.segment"}),
}
"""Modules of the two sides, which meet only in operators through core and stores."""


@dataclass(frozen=True)
class Import:
    """One import statement.

    :param target: the imported module's full name.
    :param lazy: whether it runs only when a function is called.
    :param typing_only: whether only a type checker sees it.
    """

    path: Path
    line: int
    target: str
    lazy: bool
    typing_only: bool

    @property
    def at(self) -> str:
        """Where it stands, for an editor."""
        return f"{self.path.relative_to(ROOT.parent)}:{self.line}"

    @property
    def top(self) -> str:
        """The imported distribution's top name."""
        return self.target.partition(".")[0]


def name_of(path: Path) -> str:
    """The dotted name of a module within the package."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    return {name_of(path): path for path in sorted(ROOT.rglob("*.py"))}


@cache
def imports() -> tuple[Import, ...]:
    """Every import of the package."""
    found: list[Import] = []
    for path in modules().values():
        tree = ast.parse(path.read_text("utf-8"))
        found += _walk(tree, path, lazy=False, typing_only=False)
    return tuple(found)


def _walk(node: ast.AST, path: Path, *, lazy: bool, typing_only: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            targets = [alias.name for alias in child.names]
        elif isinstance(child, ast.ImportFrom):
            targets = _targets(child, path)
        else:
            is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            is_guard = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
            yield from _walk(
                child, path, lazy=lazy or is_function, typing_only=typing_only or is_guard
            )
            continue
        for target in targets:
            yield Import(path, child.lineno, target, lazy, typing_only)


def _targets(node: ast.ImportFrom, path: Path) -> list[str]:
    base = node.module or ""
    if node.level:
        package = path.relative_to(ROOT.parent).parts[: -node.level]
        base = ".".join([*package, *([node.module] if node.module else [])])
    # ``from package import module`` imports the module itself.
    inner = [f"{base}.{alias.name}" for alias in node.names]
    known = {f"{PACKAGE}.{name}" for name in modules()}
    return [name if name in known else base for name in inner]


def own(target: str) -> str | None:
    """The dotted name within the package of what an import names, if it is of the package."""
    if target == PACKAGE:
        return ""
    return target.removeprefix(f"{PACKAGE}.") if target.startswith(f"{PACKAGE}.") else None


def room(name: str) -> str:
    """The folder of a module: its first part."""
    return name.partition(".")[0]


def refuse(broken: list[str], remedy: str) -> None:
    """Fail with every place and what to do there."""
    assert not broken, "\n".join([*broken, remedy])


def test_imports_are_found() -> None:
    """The walk sees imports at the top, in functions, for type checkers, and of modules."""
    assert len(modules()) > 20
    assert any(one.lazy for one in imports())
    assert any(own(one.target) == "core.rows" for one in imports())
    source = "from . import rows\nfrom ..exceptions import X\nif TYPE_CHECKING:\n import a\n"
    path = ROOT / "core" / "example.py"
    found = list(_walk(ast.parse(source), path, lazy=False, typing_only=False))
    assert [(own(one.target), one.typing_only) for one in found] == [
        ("core.rows", False),
        ("exceptions", False),
        (None, True),
    ]


def test_core_is_pure() -> None:
    """Core imports the standard library, JSON Schema (lazily), exceptions and itself."""
    broken = []
    for one in imports():
        if room(name_of(one.path)) != "core":
            continue
        inside = own(one.target)
        if inside is not None:
            allowed = room(inside) in ("core", "exceptions")
        elif one.top in PURE_EXTRAS:
            allowed = one.lazy or one.typing_only
        else:
            allowed = one.top in sys.stdlib_module_names and one.top not in IMPURE_STANDARD
        if not allowed:
            broken.append(f"{one.at} imports {one.target}")
    refuse(
        broken,
        "core/ neither waits, logs nor talks: pass the value in, or move the code to hooks/ or "
        "stores/; import jsonschema within the function that needs it.",
    )


def test_core_reads_no_clock() -> None:
    """Core never asks for the time: moments are passed in."""
    broken = []
    for name, path in modules().items():
        if room(name) != "core":
            continue
        broken += [
            f"{path.relative_to(ROOT.parent)}:{node.lineno}"
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
            if isinstance(node, ast.Attribute) and ast.unparse(node) in CLOCKS
        ]
    refuse(broken, "Take the moment as a parameter.")


def test_exceptions_import_nothing() -> None:
    """The errors are under everything, so they import nothing of the package."""
    broken = [
        f"{one.at} imports {one.target}"
        for one in imports()
        if name_of(one.path) == "exceptions" and own(one.target) is not None
    ]
    refuse(broken, "An error carries text and numbers; it needs no other module.")


@pytest.mark.parametrize("sdk", SDK_HOMES)
def test_one_home_for_each_sdk(sdk: str) -> None:
    """Each SDK is imported in one file only, and only when it is used."""
    broken = [
        f"{one.at} imports {one.target}"
        for one in imports()
        if one.top == sdk
        and not one.typing_only
        and (one.path != ROOT / SDK_HOMES[sdk] or not one.lazy)
    ]
    refuse(broken, f"Only a function in {SDK_HOMES[sdk]} may import {sdk}: ask that hook.")
    assert any(one.top == sdk for one in imports()), f"nobody imports {sdk} any more"


def test_sides_never_meet() -> None:
    """The Looker side and the Segment side do not import each other."""
    broken = [
        f"{one.at} imports {one.target}"
        for one in imports()
        for side, other in (("looker", "segment"), ("segment", "looker"))
        if name_of(one.path) in SIDES[side] and own(one.target) in SIDES[other]
    ]
    refuse(broken, "The sides exchange chunks: put what both need into core/ or stores/.")
    missing = SIDES["looker"] | SIDES["segment"]
    assert missing & modules().keys(), "no module of either side is left: mend SIDES"


def test_sandbox_is_for_nobody() -> None:
    """Nothing outside the sandbox needs it, but the command that starts it may."""
    broken = [
        f"{one.at} imports {one.target}"
        for one in imports()
        if own(one.target) is not None
        and room(own(one.target) or "") == "sandbox"
        and room(name_of(one.path)) != "sandbox"
        and not (name_of(one.path) == "cli" and one.lazy)
    ]
    refuse(broken, "The sandbox stands in for Looker and Segment; production code never uses it.")


def test_arrows_point_down() -> None:
    """Hooks and stores know no operator, operators no task group, core none of them."""
    below = {
        "core": {"core", "exceptions"},
        "hooks": {"hooks", "core", "exceptions", "addresses", "connections", ""},
        "stores": {"stores", "core", "exceptions", "addresses", "connections", ""},
        "addresses": {"exceptions"},
    }
    broken = [
        f"{one.at} imports {one.target}"
        for one in imports()
        if room(name_of(one.path)) in below
        and own(one.target) is not None
        and room(own(one.target) or "") not in below[room(name_of(one.path))]
    ]
    refuse(broken, "task_groups → operators → triggers → hooks, stores → core → exceptions.")


def test_no_cycles() -> None:
    """No module needs, directly or through others, itself."""
    needs: dict[str, set[str]] = {name: set() for name in modules()}
    for one in imports():
        target = own(one.target)
        if target in needs and not one.typing_only:
            needs[name_of(one.path)].add(target)
    waiting = dict(needs)
    while free := [name for name, found in waiting.items() if not found & waiting.keys() - {name}]:
        for name in free:
            del waiting[name]
    refuse(
        [f"{name} needs {', '.join(sorted(needs[name] & waiting.keys()))}" for name in waiting],
        "Move what both need into a module of its own below them.",
    )


def test_files_are_small() -> None:
    """A file has at most 400 lines."""
    broken = [
        f"{path.relative_to(ROOT.parent)}:{count} lines"
        for path in modules().values()
        if (count := len(path.read_text("utf-8").splitlines())) > MAX_LINES
        and "Longer than 400 lines because" not in path.read_text("utf-8")
    ]
    refuse(broken, "Split it by meaning, or say in it `Longer than 400 lines because …`.")


def test_files_are_found_by_guessing() -> None:
    """No module is a drawer without a name."""
    drawers = {"utils", "util", "common", "helpers", "helper", "misc"}
    broken = [
        str(path.relative_to(ROOT.parent))
        for name, path in modules().items()
        if drawers & set(name.split("."))
    ]
    refuse(broken, "Name the module for what it knows.")


def test_importing_costs_nothing() -> None:
    """The package itself imports nothing: Airflow imports it at discovery."""
    broken = [
        f"{one.at} imports {one.target}"
        for one in imports()
        if name_of(one.path) == ""
        and not one.lazy
        and one.top != "__future__"
        and one.top not in sys.stdlib_module_names
    ]
    refuse(broken, "Import it within the function that needs it.")
