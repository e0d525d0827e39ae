"""Anthropic's own API, by key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, ClassVar

from attrs import define, field

from llmgw import Backend, Dialect, Gateway, HttpBackend, Misconfigured, Operation, Profile, Secret, Target, hookimpl
from llmgw.urls import problems
from llmgw_dialects.anthropic_messages import DIALECT
from llmgw_dialects.profiles import with_overrides

VENDOR = "https://api.anthropic.com"
VERSION = "2023-06-01"


@define(eq=False, kw_only=True)
class Anthropic(HttpBackend):
    """Anthropic's API, by key.

    Args:
        api_key: sent as ``x-api-key``; without one, and at Anthropic's own URL, requests fail and say so.
        base_url: Anthropic's, or that of a proxy or a test server before it; without ``/v1``.
        version: the ``anthropic-version`` for clients that speak another dialect; those of this one name their own.
        betas: sent as ``anthropic-beta`` besides what the client asks for.
        profile: what a model can do, where it is known better than here; fields of ``llmgw.Profile``.
    """

    dialect = DIALECT
    path = "/v1/messages"
    paths: ClassVar[Mapping[Operation, str]] = {"count_tokens": "/v1/messages/count_tokens"}
    models_path = "/v1/models?limit=1000"

    name: str = "anthropic"
    api_key: Secret = Secret.env("ANTHROPIC_API_KEY")
    base_url: str = VENDOR
    version: str = VERSION
    betas: list[str] = field(factory=list)
    profile: dict[str, Any] = field(factory=dict)

    @hookimpl
    def backends(self, gateway: Gateway) -> Iterable[Backend] | None:
        """Only this one."""
        return [self]

    def profile_of(self, dialect: Dialect, model: str) -> Profile:
        """What the dialect knows of a model, and over it what the deployment says."""
        return with_overrides(dialect.profile(model), self.profile)

    def headers(self, target: Target) -> Mapping[str, str]:
        """The key."""
        if not self.api_key.is_set and self.base_url.rstrip("/") != VENDOR:
            return {}
        return {"x-api-key": self.api_key.reveal()}

    def asking(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """The client's version and betas, or ours for a client of another dialect."""
        asked = [one.strip() for one in headers.get("anthropic-beta", "").split(",") if one.strip()]
        betas = list(dict.fromkeys([*asked, *self.betas]))
        given = headers.get("anthropic-beta") if len(betas) == len(asked) else ",".join(betas)
        told = {"anthropic-version": headers.get("anthropic-version", self.version), "anthropic-beta": given}
        return {**headers, **{name: value for name, value in told.items() if value}}

    def problems(self) -> Iterable[str]:
        """What is wrong with its URL and with the headers that it would send."""
        headers = dict(self.asking({}))
        with suppress(Misconfigured):  # a key that is missing is told of by ``credential_state``
            headers.update(self.headers(Target(self.name, "")))
        return problems(self.base_url, headers)

    @property
    def credential_state(self) -> str:
        """Where the key comes from, or that there is none."""
        return f"key from {self.api_key.name}" if self.api_key.is_set else f"no key: {self.api_key.name} is not set"
