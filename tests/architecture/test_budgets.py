"""A smell test: code that is read by many is short, and swallows nothing unseen."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from statistics import median, quantiles

import pytest

from tests.architecture.tree import FOLDERS, PLUGIN_FOLDERS, Source, functions, nodes, sources

DOORS = {
    ("kernel/llmgw/app.py", "_told_of_end"): 1,
    ("kernel/llmgw/app.py", "handle"): 1,
    ("kernel/llmgw/gateway.py", "Gateway._models_of"): 1,
    ("kernel/llmgw/pipeline.py", "_Guarded.closed"): 1,
    ("kernel/llmgw/pipeline.py", "_Guarded.event"): 1,
    ("kernel/llmgw/pipeline.py", "_Guarded.wire"): 1,
    ("kernel/llmgw/plugins.py", "_module"): 1,
    ("kernel/llmgw/pulse.py", "Pulse._beat"): 1,
    ("kernel/llmgw/serve.py", "_process"): 1,
    ("kernel/llmgw/workers.py", "Supervisor._start"): 1,
    ("kernel/llmgw/server.py", "Generation.run"): 1,
    ("kernel/llmgw/server.py", "Server.reload"): 1,
}
"""Where anything is caught, whatever a plugin raises: what is caught elsewhere has a name. Each has its reason in a comment."""


def test_kernel_files_are_short() -> None:
    """A file of the kernel has no more than 700 lines."""
    assert [] == longer_than(700, "kernel")


def test_plugin_files_are_short() -> None:
    """A plugin's file has no more than 400 lines: beyond that it is two plugins."""
    assert [] == longer_than(400, *PLUGIN_FOLDERS)


@pytest.mark.parametrize("folder", ["kernel", "plugins, front-ends, back-ends"])
def test_functions_are_short(folder: str) -> None:
    """Half of all functions have at most 10 lines, and 95 in 100 at most 40."""
    found = sources(*(["kernel"] if folder == "kernel" else PLUGIN_FOLDERS))
    lengths = [(each.end_lineno or each.lineno) - each.lineno + 1 for source in found for _, each in functions(source)]

    assert 10 >= median(lengths)
    assert 40 >= quantiles(lengths, n=20)[-1]


def test_only_doors_catch_everything() -> None:
    """``except Exception`` stands where it is known to stand; where it ends in ``raise`` nothing is swallowed."""
    found = Counter((str(source.path), name) for source in sources(*FOLDERS) for name, _ in swallowed(source))

    assert found == DOORS


def test_doors_say_why() -> None:
    """Whoever catches everything says why, in a comment on that line."""
    lines = [
        f"{source}:{handler.lineno}"
        for source in sources(*FOLDERS)
        for _, handler in swallowed(source)
        if "#" not in source.text.splitlines()[handler.lineno - 1]
    ]

    assert [] == lines


def longer_than(limit: int, *folders: str) -> list[str]:
    """Files with more lines than that."""
    return [f"{source} has {count}" for source in sources(*folders) if (count := len(source.text.splitlines())) > limit]


def swallowed(source: Source) -> Iterator[tuple[str, ast.ExceptHandler]]:
    """Handlers that catch everything and keep it, with the functions they stand in."""
    for name, node in nodes(source):
        if isinstance(node, ast.ExceptHandler) and _is_broad(node) and not _raises(node):
            yield name, node


def _is_broad(handler: ast.ExceptHandler) -> bool:
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(kind is None or ast.unparse(kind) in ("Exception", "BaseException") for kind in kinds)


def _raises(handler: ast.ExceptHandler) -> bool:
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None
