"""Google's Gemini API, by key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, ClassVar
from urllib.parse import quote

from attrs import define, field

from llmgw import Backend, Dialect, Gateway, HttpBackend, Misconfigured, Operation, Profile, Request, Secret, Target, hookimpl
from llmgw.urls import problems
from llmgw_dialects.google_gemini import DIALECT, method
from llmgw_dialects.profiles import with_overrides

VENDOR = "https://generativelanguage.googleapis.com"


@define(eq=False, kw_only=True)
class Gemini(HttpBackend):
    """Google's Gemini API, by key.

    Args:
        api_key: sent as ``x-goog-api-key``; without one, and at Google's own URL, requests fail and say so.
        base_url: Google's, or that of a proxy or a test server before it; without the version.
        version: of the API.
        profile: what a model can do, where it is known better than here; fields of ``llmgw.Profile``.
    """

    dialect = DIALECT
    paths: ClassVar[Mapping[Operation, str]] = {"count_tokens": ":countTokens"}

    name: str = "gemini"
    api_key: Secret = Secret.env("GEMINI_API_KEY")
    base_url: str = VENDOR
    version: str = "v1beta"
    profile: dict[str, Any] = field(factory=dict)

    @hookimpl
    def backends(self, gateway: Gateway) -> Iterable[Backend] | None:
        """Only this one."""
        return [self]

    @property
    def models_url(self) -> str:
        """Where its list of models is."""
        return f"{self.base_url.rstrip('/')}/{self.version}/models?pageSize=1000"

    def url(self, target: Target, request: Request) -> str:
        """The model and what is asked of it stand in the path; as a client of this API named it, or without its collection."""
        own = request.dialect == self.dialect.name
        model = quote(target.model if own else target.model.removeprefix("models/"), safe="/:@")
        return f"{self.base_url.rstrip('/')}/{self.version}/models/{model}:{method(request)}"

    def profile_of(self, dialect: Dialect, model: str) -> Profile:
        """What the dialect knows of a model, and over it what the deployment says."""
        return with_overrides(dialect.profile(model), self.profile)

    def headers(self, target: Target) -> Mapping[str, str]:
        """The key."""
        if not self.api_key.is_set and self.base_url.rstrip("/") != VENDOR:
            return {}
        return {"x-goog-api-key": self.api_key.reveal()}

    def problems(self) -> Iterable[str]:
        """What is wrong with its URL and with the headers that it would send."""
        headers: dict[str, str] = {}
        with suppress(Misconfigured):  # a key that is missing is told of by ``credential_state``
            headers.update(self.headers(Target(self.name, "")))
        return problems(self.base_url, headers)

    @property
    def credential_state(self) -> str:
        """Where the key comes from, or that there is none."""
        return f"key from {self.api_key.name}" if self.api_key.is_set else f"no key: {self.api_key.name} is not set"
