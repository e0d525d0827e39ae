"""Every hook is documented, implemented and tested; pluggy compares names only, so the types are compared here."""

from __future__ import annotations

import ast
import re

import pytest

from tests.architecture.tree import PLUGIN_FOLDERS, Function, functions, marked, sources

(SPECS,) = (source for source in sources("kernel/llmgw") if source.module == "llmgw.hookspecs")
HOOKS = {name: function for name, function in functions(SPECS) if marked(function, "hookspec")}

TREE = (*PLUGIN_FOLDERS, "examples")
"""Where implementations stand for others to learn from; those in tests may be wrong on purpose."""


@pytest.mark.parametrize("hook", HOOKS)
def test_hook_is_documented(hook: str) -> None:
    """A hook's docstring has a sentence that fits a line, explains every argument, and what None means where it may be said."""
    function = HOOKS[hook]
    doc = ast.get_docstring(function) or ""
    _, _, args = doc.partition("Args:\n")

    assert doc.partition("\n")[0].rstrip().endswith(("," if "None" in doc else ".", "."))
    assert arguments(function).keys() == set(re.findall(r"^    (\w+): \S", args, re.MULTILINE))
    assert "None" in doc or returns(function) == "None"


def test_hooks_stand_in_sections() -> None:
    """Every hook stands under a bar, in the order of a gateway's life."""
    bars = [number for number, line in enumerate(SPECS.text.splitlines(), 1) if re.fullmatch(r"# ---- \w.* -+", line)]

    assert 3 == len(bars)
    assert [] == [name for name, function in HOOKS.items() if function.lineno < bars[0]]


@pytest.mark.parametrize("hook", HOOKS)
def test_hook_is_implemented(hook: str) -> None:
    """A hook that nobody implements, not even a test, is a guess at what somebody might want."""
    by_toys = [toy.module for toy in sources("tests") if re.search(rf"\bplugin\([^()]*\b{hook}=", toy.text)]  # tests/toys.py

    assert by_toys or [name for name, _ in implementations(*TREE, "tests") if name == hook]


@pytest.mark.parametrize("hook", HOOKS)
def test_hook_is_tested(hook: str) -> None:
    """Every hook is spoken of in a test; the tests of the architecture do not count."""
    tests = [source for source in sources("tests") if "architecture" not in source.path.parts]

    assert any(re.search(rf"\b{hook}\b", source.text) for source in tests)


def test_implementations_have_the_types_of_their_hook() -> None:
    """An implementation is annotated as its hook is, takes no defaults and is not async."""
    faults = []
    for name, function in implementations(*TREE):
        spec = HOOKS[name]
        expected, found = arguments(spec), arguments(function)
        faults += [f"{name}({each}: {kind})" for each, kind in found.items() if expected.get(each) != kind]
        faults += [f"{name} -> {returns(function)}"] if returns(function) != returns(spec) else []
        faults += [f"{name} has defaults"] if function.args.defaults or function.args.kw_defaults else []
        faults += [f"{name} is async"] if isinstance(function, ast.AsyncFunctionDef) else []

    assert [] == faults


def implementations(*folders: str) -> list[tuple[str, Function]]:
    """Functions marked as implementations, by the names of their hooks."""
    found = (each for source in sources(*folders) for each in functions(source))
    return [(name.rpartition(".")[2], function) for name, function in found if marked(function, "hookimpl")]


def arguments(function: Function) -> dict[str, str]:
    """Arguments and their types as text, which every file of ours writes alike."""
    named = [*function.args.args, *function.args.kwonlyargs]
    return {each.arg: ast.unparse(each.annotation) if each.annotation else "" for each in named if each.arg != "self"}


def returns(function: Function) -> str:
    """The type of what is returned, as text."""
    return ast.unparse(function.returns) if function.returns else ""
