"""Anthropic's own API, by key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar
from urllib.parse import quote

from attrs import define, evolve, field

from llmgw import Backend, Dialect, Gateway, KeyBackend, Operation, Profile, Secret, hookimpl, jsons
from llmgw_dialects.anthropic_messages import DIALECT
from llmgw_dialects.profiles import with_overrides

VENDOR = "https://api.anthropic.com"
VERSION = "2023-06-01"
WITHOUT_SAMPLING = "2026-10-21"
"""The version from which on Anthropic refuses sampling parameters, whatever their values."""


@define(eq=False, kw_only=True)
class Anthropic(KeyBackend):
    """Anthropic's API, by key.

    Args:
        api_key: sent as ``x-api-key``; without one, and at Anthropic's own URL, requests fail and say so.
        keys: several, instead of it; else further ones are taken from ``ANTHROPIC_API_KEY_2`` and so on.
        base_url: Anthropic's, or that of a proxy or a test server before it; without ``/v1``.
        version: the ``anthropic-version`` for clients that speak another dialect; those of this one name their own.
        betas: sent as ``anthropic-beta`` besides what the client asks for.
        profile: what a model can do, where it is known better than here; fields of ``llmgw.Profile``.
        identity: whose program Anthropic is told that this is.
    """

    dialect = DIALECT
    path = "/v1/messages"
    paths: ClassVar[Mapping[Operation, str]] = {"count_tokens": "/v1/messages/count_tokens"}
    models_path = "/v1/models?limit=1000"
    vendor = VENDOR

    name: str = "anthropic"
    api_key: Secret = Secret.env("ANTHROPIC_API_KEY")
    base_url: str = VENDOR
    version: str = VERSION
    betas: list[str] = field(factory=list)

    @hookimpl
    def backends(self, gateway: Gateway) -> Iterable[Backend] | None:
        """Only this one."""
        self.gather(gateway.env)
        return [self]

    def profile_of(self, dialect: Dialect, model: str) -> Profile:
        """What the dialect knows of a model, without what the version has no more, and over it what the deployment says."""
        known = dialect.profile(model)
        if self.version >= WITHOUT_SAMPLING:
            known = evolve(known, sampling=known.sampling - {"temperature", "top_p", "top_k"})
        return with_overrides(known, self.profile)

    def further_models(self, body: bytes) -> str | None:
        """The next page, which begins behind the last model of this one."""
        tree = jsons.loads(body)
        last = tree.get("last_id") if tree.get("has_more") else None
        return f"{self.models_url}&after_id={quote(last, safe='')}" if isinstance(last, str) and last else None

    def shown(self, key: str) -> Mapping[str, str]:
        """In Anthropic's own header, which both of its versions take."""
        return {"x-api-key": key}

    def asking(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """The client's version and betas, or ours for a client of another dialect."""
        asked = [one.strip() for one in headers.get("anthropic-beta", "").split(",") if one.strip()]
        betas = list(dict.fromkeys([*asked, *self.betas]))
        given = headers.get("anthropic-beta") if len(betas) == len(asked) else ",".join(betas)
        told = {"anthropic-version": headers.get("anthropic-version", self.version), "anthropic-beta": given}
        return {**headers, **{name: value for name, value in told.items() if value}}
