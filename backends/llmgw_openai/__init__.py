"""OpenAI's own API, by key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, ClassVar, Literal

from attrs import define, field

from llmgw import (
    Backend,
    Dialect,
    Gateway,
    HttpBackend,
    Misconfigured,
    Operation,
    Profile,
    Request,
    Secret,
    Target,
    hookimpl,
)
from llmgw.urls import problems
from llmgw_dialects.openai_chat import DIALECT
from llmgw_dialects.openai_responses import DIALECT as RESPONSES
from llmgw_dialects.profiles import with_overrides

VENDOR = "https://api.openai.com/v1"


@define(eq=False, kw_only=True)
class OpenAI(HttpBackend):
    """OpenAI's API, by key.

    Args:
        api_key: sent as a bearer token; without one, and at OpenAI's own URL, requests fail and say so.
        base_url: OpenAI's, or that of a proxy or a test server before it.
        organization: sent as ``OpenAI-Organization``.
        project: sent as ``OpenAI-Project``.
        api: ``responses``, ``chat``, or ``auto``: the client's own where it speaks one of them, for others Responses, which
            keeps a model's thoughts from one turn to the next; another vendor's URL gets Chat Completions.
        profile: what a model can do, where it is known better than here; fields of ``llmgw.Profile``.
    """

    dialect = DIALECT
    path = "/chat/completions"
    paths: ClassVar[Mapping[Operation, str]] = {"count_tokens": "/responses/input_tokens", "compact": "/responses/compact"}

    name: str = "openai"
    api_key: Secret = Secret.env("OPENAI_API_KEY")
    base_url: str = VENDOR
    organization: str | None = None
    project: str | None = None
    api: Literal["responses", "chat", "auto"] = "auto"
    profile: dict[str, Any] = field(factory=dict)

    @hookimpl
    def backends(self, gateway: Gateway) -> Iterable[Backend] | None:
        """Only this one."""
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

    def headers(self, target: Target) -> Mapping[str, str]:
        """The key, and on whose account it is used."""
        if not self.api_key.is_set and self.base_url.rstrip("/") != VENDOR:
            return self._account
        return {"authorization": f"Bearer {self.api_key.reveal()}", **self._account}

    @property
    def _account(self) -> dict[str, str]:
        named = {"openai-organization": self.organization, "openai-project": self.project}
        return {name: value for name, value in named.items() if value is not None}

    def problems(self) -> Iterable[str]:
        """What is wrong with its URL and with the headers that it would send."""
        headers = self._account
        with suppress(Misconfigured):  # a key that is missing is told of by ``credential_state``
            headers.update(self.headers(Target(self.name, "")))
        return problems(self.base_url, headers)

    @property
    def credential_state(self) -> str:
        """Where the key comes from, or that there is none."""
        return f"key from {self.api_key.name}" if self.api_key.is_set else f"no key: {self.api_key.name} is not set"
