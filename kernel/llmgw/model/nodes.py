"""Where a part of a request came from, and whether it is still what came."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define, field, frozen

from llmgw import jsons

if TYPE_CHECKING:
    from llmgw.splice import Path

JSON = Any
"""A value as ``jsons.loads`` gives it."""


@define(eq=False)
class RawDoc:
    """A body as it arrived.

    Args:
        dialect: the dialect it is written in.
        data: the bytes.
        model: the model it names, if any.
        stream: whether it asks for events.
        stream_usage: whether it asks for usage among them.
    """

    dialect: str
    data: bytes = field(repr=False)
    model: str | None = None
    stream: bool = False
    stream_usage: bool = False
    _tree: JSON = field(default=None, repr=False, alias="tree")

    @property
    def is_read(self) -> bool:
        """Whether the body has been read whole."""
        return self._tree is not None

    @property
    def tree(self) -> JSON:
        """The body as JSON values; read once, never to be changed."""
        if self._tree is None:
            self._tree = jsons.loads(self.data)
        return self._tree


@frozen(eq=False)
class Source:
    """Where a node was read from: ``value`` stands at ``path`` in ``doc``."""

    doc: RawDoc = field(repr=False)
    path: Path
    value: JSON = field(repr=False)


@frozen(kw_only=True)
class Node:
    """A part of a request; ``attrs.evolve`` gives a changed copy, which knows its source but is no longer clean."""

    source: Source | None = field(default=None, eq=False, repr=False)
    clean: bool = field(default=False, init=False, eq=False, repr=False)


_N = TypeVar("_N", bound=Node)


def sourced(node: _N, doc: RawDoc, path: Path, value: JSON) -> _N:
    """Mark a node as read from ``path`` of ``doc``, and as clean. For dialects, while reading."""
    object.__setattr__(node, "source", Source(doc, path, value))
    object.__setattr__(node, "clean", True)
    return node


def is_clean(nodes: Iterable[Node], count: int) -> bool:
    """Whether these are all the ``count`` nodes that were read, unchanged."""
    nodes = tuple(nodes)
    return len(nodes) == count and all(node.clean for node in nodes)
