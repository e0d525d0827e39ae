"""Acme's API, which speaks OpenAI Chat Completions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import define
from llmgw import Backend, Gateway, HttpBackend, Secret, Target, hookimpl
from llmgw_dialects.openai_chat import DIALECT


@define(eq=False, kw_only=True)
class Acme(HttpBackend):
    """Acme's models, by key.

    Args:
        api_key: sent as a bearer token.
        base_url: Acme's, or that of a proxy before it.
    """

    dialect = DIALECT
    path = "/chat/completions"

    name: str = "acme"
    api_key: Secret = Secret.env("ACME_API_KEY")
    base_url: str = "https://api.acme.example/v1"

    @hookimpl
    def backends(self, gateway: Gateway) -> Iterable[Backend] | None:
        """Only this one, under the name that it has in the YAML."""
        return [self]

    def headers(self, target: Target) -> Mapping[str, str]:
        """The key."""
        return {"authorization": f"Bearer {self.api_key.reveal()}"}
