"""The project as text: its files, what they import, what setup.cfg and pyproject.toml promise. Nothing of it is run."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache, cached_property
from pathlib import Path

from attrs import define, frozen

from docs.generate import registry

ROOT = Path(__file__).resolve().parents[2]
PLUGIN_FOLDERS = ("frontends", "backends", "plugins")
FOLDERS = ("kernel", *PLUGIN_FOLDERS)


@define(eq=False, slots=False)  # cached_property needs a __dict__
class Source:
    """A Python file.

    Args:
        path: from the root of the project.
        text: what stands in it.
        module: its dotted name.
    """

    path: Path
    text: str
    module: str

    @cached_property
    def tree(self) -> ast.Module:
        """Its syntax."""
        return ast.parse(self.text, str(self.path))

    @property
    def package(self) -> str:
        """The import package that it belongs to."""
        return self.module.partition(".")[0]

    def __str__(self) -> str:
        return str(self.path)


@cache
def sources(*folders: str) -> tuple[Source, ...]:
    """The Python files under these folders of the project."""
    files = sorted(file for folder in folders for file in (ROOT / folder).rglob("*.py") if "build" not in file.parts)
    return tuple(Source(file.relative_to(ROOT), file.read_text(), _module(file.relative_to(ROOT))) for file in files)


def _module(path: Path) -> str:
    """The name under which a file of the four roots is imported; elsewhere it does not matter."""
    parts = path.with_suffix("").parts[1:]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> frozenset[str]:
    """The names of all modules of ours."""
    return frozenset(source.module for source in sources(*FOLDERS))


# ---- imports ------------------------------------------------------------------------------------


@frozen
class Import:
    """One module that a file imports."""

    source: Source
    line: int
    module: str

    @property
    def package(self) -> str:
        """The import package, as ``aiohttp``."""
        return self.module.partition(".")[0]

    def __str__(self) -> str:
        return f"{self.source}:{self.line} imports {self.module}"


def imports(source: Source, *, when_imported: bool = False) -> Iterator[Import]:
    """What a file imports, wherever in it; or only what it imports when it is imported itself."""
    for node in _run_at_import(source.tree.body) if when_imported else ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from (Import(source, node.lineno, each.name) for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = source.package if node.level else node.module or ""
            names = {f"{base}.{each.name}" for each in node.names}
            inner = names & modules()
            yield from (Import(source, node.lineno, name) for name in sorted(inner))
            if names - inner:
                yield Import(source, node.lineno, base)


def _run_at_import(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that run at import; those that only type checkers read are not among them."""
    for node in body:
        match node:
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                yield from _run_at_import(node.orelse)
            case ast.If():
                yield from _run_at_import([*node.body, *node.orelse])
            case ast.Try():
                yield from _run_at_import([*node.body, *(each for handler in node.handlers for each in handler.body)])
            case _:
                yield node


# ---- classes and functions ----------------------------------------------------------------------

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(source: Source) -> Iterator[tuple[str, Function]]:
    """All functions of a file with their qualified names, as ``Client.send``."""
    return ((name, node) for name, node in nodes(source) if isinstance(node, Function))


def nodes(source: Source) -> Iterator[tuple[str, ast.AST]]:
    """All that stands in a file, each with the qualified name of the class or function it is or stands in."""
    return _nodes(source.tree, "")


def _nodes(node: ast.AST, outer: str) -> Iterator[tuple[str, ast.AST]]:
    for child in ast.iter_child_nodes(node):
        name = f"{outer}.{child.name}".lstrip(".") if isinstance(child, Function | ast.ClassDef) else outer
        yield name, child
        yield from _nodes(child, name)


def marked(function: Function, marker: str) -> bool:
    """Whether a function is decorated with ``@marker`` or ``@marker(...)``."""
    found = (each.func if isinstance(each, ast.Call) else each for each in function.decorator_list)
    return any(isinstance(each, ast.Name) and each.id == marker for each in found)


# ---- what the project promises ------------------------------------------------------------------


@frozen
class Entry:
    """A line of the registry of plugins."""

    name: str
    module: str
    attribute: str
    extras: tuple[str, ...]

    @property
    def package(self) -> str:
        """The import package that it names."""
        return self.module.partition(".")[0]


@cache
def entries() -> tuple[Entry, ...]:
    """The registry of plugins."""
    return tuple(_entry(name, value) for name, value in registry("llmgw").items())


def _entry(name: str, value: str) -> Entry:
    found = re.fullmatch(r"([\w.]+):([\w.]+)\s*(?:\[([\w, -]*)\])?", value)
    assert found is not None, f"setup.cfg: '{name} = {value}' is no MODULE:CLASS [EXTRA]"
    return Entry(name, found[1], found[2], tuple(each.strip() for each in (found[3] or "").split(",") if each.strip()))


_IMPORTED_AS = {"pyyaml": "yaml", "google-re2": "re2", "opentelemetry-api": "opentelemetry"}
"""Distributions whose package is called otherwise."""


@cache
def dependencies(extra: str | None = None) -> frozenset[str]:
    """The import packages that an installation brings: those of the core, or those that an extra adds."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines: list[str] = project["dependencies"] if extra is None else project["optional-dependencies"][extra]
    names = [re.split(r"[^\w.-]", line, maxsplit=1)[0].lower() for line in lines]
    return frozenset(_IMPORTED_AS.get(name, name.replace("-", "_")) for name in names)
