"""Chat Completions as one provider takes it."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from llmgw import jsons
from llmgw.model import Loss, Request
from llmgw_dialects.openai_chat import OpenAIChat
from llmgw_openai_compatible.quirks import Quirks, distinct, edited


@frozen
class Flavour(OpenAIChat):
    """The dialect, whose requests are edited as the provider's quirks have it.

    Args:
        quirks: the provider's.
    """

    limit: str = "max_tokens"
    quirks: Quirks = Quirks()

    def write_request(self, request: Request, losses: list[Loss] | None = None) -> bytes:
        """Write a request; what the provider would refuse is not in it, and is told."""
        body = super().write_request(request, losses)
        own = request.dialect == self.name
        if self.quirks == _NONE or (own and not self.quirks.of_own):
            return body
        tree: dict[str, Any] = jsons.loads(body)
        lost: list[tuple[str, str]] = []
        out = edited(tree, self.quirks, lost, own=own)
        if losses is not None:
            losses += [Loss(path, feature, "dropped", request.dialect, self.name) for path, feature in distinct(lost)]
        return body if out == tree else jsons.dumps(out)


_NONE = Quirks()
