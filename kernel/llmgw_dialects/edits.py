"""Lists of nodes of an edited request: those that nobody touched keep their text, a changed one differs where it was changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llmgw.model import JSON, Node, RawDoc
from llmgw.splice import KEEP, Kept, Path
from llmgw_dialects.patch import patched

Read = Callable[[JSON, Path], Any]
"""Reads one entry of a list, which stands at this path."""
Write = Callable[[Any], JSON]
"""Writes one; None leaves it out."""


def ours(node: Node, doc: RawDoc, under: Path = ()) -> bool:
    """Whether a node was read from this body, and from below ``under``."""
    source = node.source
    return source is not None and source.doc is doc and source.path[: len(under)] == under


def in_place(nodes: Sequence[Node], read: Sequence[Node], doc: RawDoc) -> bool:
    """Whether these nodes stand in the order of those that were ``read``, and none came or went."""
    paths = [node.source.path for node in nodes if node.source is not None and node.source.doc is doc]
    return len(paths) == len(nodes) and paths == [node.source.path for node in read if node.source is not None]


def entry(node: Node, doc: RawDoc, path: Path, read: Read, write: Write) -> Any:
    """The template of one node of a list: kept, changed, or new; None leaves it out.

    Args:
        node: as it is now.
        doc: the body.
        path: where it goes.
        read: reads the original, to find what was changed.
        write: writes it.
    """
    if not ours(node, doc) or node.source is None or not isinstance(node.source.path[-1], int):
        return write(node)
    moved = None if node.source.path == path else node.source.path
    if node.clean:
        return KEEP if moved is None else Kept(moved)
    original = node.source.value
    return patched(original, write(read(original, node.source.path)), write(node), moved)


def entries(nodes: Sequence[Node], doc: RawDoc, path: Path, read: Read, write: Write) -> list[Any]:
    """The templates of a list of nodes that goes to ``path``."""
    out: list[Any] = []
    for node in nodes:
        made = entry(node, doc, (*path, len(out)), read, write)
        if made is not None:
            out.append(made)
    return out
