"""What a dialect cannot say, gathered while a request is written.

A loss has the path where it stood in the client's own body, or, for a setting, its canonical name, which the client's dialect
spells (``Dialect.spelled``). Its ``feature`` is what loss policies and the ``x-llmgw-losses`` header name.
"""

from __future__ import annotations

from attrs import define, field

from llmgw.model import Loss, Node
from llmgw_dialects.fields import spelled


@define(eq=False)
class Losses:
    """Gathers losses.

    Args:
        target: the dialect that is written.
        dialect: the client's.
        found: takes the losses.
    """

    target: str
    dialect: str = ""
    found: list[Loss] = field(factory=list)

    def dropped(self, feature: str, value: str = "", node: Node | None = None) -> None:
        """Something is not said at all."""
        self.found.append(Loss(self._path(feature, node), feature, "dropped", value or self.dialect, self.target))

    def approximated(self, feature: str, value: str, to: str, node: Node | None = None) -> None:
        """Something is said less exactly."""
        self.found.append(Loss(self._path(feature, node), feature, "approximated", value, to))

    def emulated(self, feature: str, to: str, node: Node | None = None) -> None:
        """Something is said by other means."""
        self.found.append(Loss(self._path(feature, node), feature, "emulated", self.dialect, to))

    @staticmethod
    def _path(feature: str, node: Node | None) -> str:
        return feature if node is None or node.source is None else spelled(node.source.path)
