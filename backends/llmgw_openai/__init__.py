"""OpenAI's own API, by key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar, Literal

from attrs import define

from llmgw import (
    Backend,
    Dialect,
    Gateway,
    KeyBackend,
    Operation,
    Profile,
    Request,
    Secret,
    Target,
    hookimpl,
)
from llmgw_dialects.openai_chat import DIALECT
from llmgw_dialects.openai_responses import DIALECT as RESPONSES
from llmgw_dialects.profiles import with_overrides

VENDOR = "https://api.openai.com/v1"


@define(eq=False, kw_only=True)
class OpenAI(KeyBackend):
    """OpenAI's API, by key.

    Args:
        api_key: sent as a bearer token; without one, and at OpenAI's own URL, requests fail and say so.
        keys: several, instead of it; else further ones are taken from ``OPENAI_API_KEY_2`` and so on.
        base_url: OpenAI's, or that of a proxy or a test server before it.
        organization: sent as ``OpenAI-Organization``.
        project: sent as ``OpenAI-Project``.
        api: ``responses``, ``chat``, or ``auto``: the client's own where it speaks one of them, for others Responses, which
            keeps a model's thoughts from one turn to the next; another vendor's URL gets Chat Completions.
        profile: what a model can do, where it is known better than here; fields of ``llmgw.Profile``.
        identity: whose program OpenAI is told that this is.
    """

    dialect = DIALECT
    path = "/chat/completions"
    paths: ClassVar[Mapping[Operation, str]] = {"count_tokens": "/responses/input_tokens", "compact": "/responses/compact"}
    vendor = VENDOR

    name: str = "openai"
    api_key: Secret = Secret.env("OPENAI_API_KEY")
    base_url: str = VENDOR
    organization: str | None = None
    project: str | None = None
    api: Literal["responses", "chat", "auto"] = "auto"

    @hookimpl
    def backends(self, gateway: Gateway) -> Iterable[Backend] | None:
        """Only this one."""
        self.gather(gateway.env)
        return [self]

    def speaks(self, request: Request) -> Dialect:
        """One of OpenAI's two dialects; only Responses counts tokens and shortens histories."""
        if request.operation != "generate" or self.api == "responses":
            return RESPONSES
        if self.api == "chat" or request.dialect == DIALECT.name:
            return DIALECT
        return RESPONSES if request.dialect == RESPONSES.name or self.base_url.rstrip("/") == VENDOR else DIALECT

    def url(self, target: Target, request: Request) -> str:
        """Where this request goes."""
        paths = {**self.paths, "generate": "/responses" if self.speaks(request) is RESPONSES else self.path}
        return self.base_url.rstrip("/") + paths[request.operation]

    def profile_of(self, dialect: Dialect, model: str) -> Profile:
        """What the dialect knows of a model, and over it what the deployment says."""
        return with_overrides(dialect.profile(model), self.profile)

    @property
    def extra(self) -> Mapping[str, str]:
        """On whose account the key is used."""
        named = {"openai-organization": self.organization, "openai-project": self.project}
        return {name: value for name, value in named.items() if value is not None}
