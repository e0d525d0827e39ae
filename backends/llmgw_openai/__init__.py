"""OpenAI's own API, by key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress

from attrs import define

from llmgw import Backend, Gateway, HttpBackend, Misconfigured, Secret, Target, hookimpl
from llmgw.urls import problems
from llmgw_dialects.openai_chat import DIALECT

VENDOR = "https://api.openai.com/v1"


@define(eq=False, kw_only=True)
class OpenAI(HttpBackend):
    """OpenAI's API, by key.

    Args:
        api_key: sent as a bearer token; without one, and at OpenAI's own URL, requests fail and say so.
        base_url: OpenAI's, or that of a proxy or a test server before it.
        organization: sent as ``OpenAI-Organization``.
        project: sent as ``OpenAI-Project``.
    """

    dialect = DIALECT
    path = "/chat/completions"

    name: str = "openai"
    api_key: Secret = Secret.env("OPENAI_API_KEY")
    base_url: str = VENDOR
    organization: str | None = None
    project: str | None = None

    @hookimpl
    def backends(self, gateway: Gateway) -> Iterable[Backend] | None:
        """Only this one."""
        return [self]

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
