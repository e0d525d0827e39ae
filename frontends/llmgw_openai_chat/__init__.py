"""OpenAI Chat Completions for clients: ``/v1/chat/completions`` and the list of models."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import define

from llmgw import Endpoint, Gateway, hookimpl
from llmgw_dialects.openai_chat import DIALECT


@define(eq=False)
class OpenAIChat:
    """OpenAI Chat Completions for clients: ``/v1/chat/completions``, ``/v1/models``.

    Args:
        prefix: before every path; clients put it into their base URL.
    """

    prefix: str = ""

    @hookimpl
    def frontend_endpoints(self, gateway: Gateway) -> Iterable[Endpoint] | None:
        """The three paths; the first also without ``/v1``, for clients whose base URL lacks it."""
        return [
            Endpoint("POST", f"{self.prefix}/v1/chat/completions", DIALECT),
            Endpoint("POST", f"{self.prefix}/chat/completions", DIALECT),
            Endpoint("GET", f"{self.prefix}/v1/models", DIALECT, "models"),
            Endpoint("GET", f"{self.prefix}/v1/models/{{id:.+}}", DIALECT, "model"),
        ]
