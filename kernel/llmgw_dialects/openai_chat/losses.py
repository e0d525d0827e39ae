"""What Chat Completions cannot say, gathered in one place while a request is written."""

from __future__ import annotations

from attrs import define, field

from llmgw.model import Loss, Node
from llmgw_dialects.openai_chat.names import NAME, spelled


@define(eq=False)
class Losses:
    """Gathers losses.

    Args:
        dialect: the client's.
    """

    dialect: str = ""
    found: list[Loss] = field(factory=list)

    def dropped(self, feature: str, value: str = "", node: Node | None = None) -> None:
        """Something is not said at all."""
        self.found.append(Loss(self._path(feature, node), feature, "dropped", value or self.dialect, NAME))

    def approximated(self, feature: str, value: str, to: str, node: Node | None = None) -> None:
        """Something is said less exactly."""
        self.found.append(Loss(self._path(feature, node), feature, "approximated", value, to))

    def emulated(self, feature: str, to: str, node: Node | None = None) -> None:
        """Something is said by other means."""
        self.found.append(Loss(self._path(feature, node), feature, "emulated", self.dialect, to))

    @staticmethod
    def _path(feature: str, node: Node | None) -> str:
        return feature if node is None or node.source is None else spelled(node.source.path)
