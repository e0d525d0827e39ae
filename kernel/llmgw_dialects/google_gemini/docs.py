"""A body whose request may stand within an envelope."""

from __future__ import annotations

from typing import Any

from attrs import define

from llmgw.model import JSON, RawDoc
from llmgw.splice import Path


@define(eq=False)
class GeminiDoc(RawDoc):
    """A body as it arrived; what the model is told stands at ``root``."""

    root: Path = ()

    @property
    def inner(self) -> dict[str, Any]:
        """The request itself."""
        tree: JSON = self.tree
        for step in self.root:
            tree = tree[step]
        assert isinstance(tree, dict), "who made the document has looked"
        return tree
