"""Google's Gemini API, by key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar
from urllib.parse import quote

from attrs import define

from llmgw import Backend, Dialect, Gateway, KeyBackend, Operation, Profile, Request, Secret, Target, hookimpl, jsons
from llmgw_dialects.google_gemini import DIALECT, method
from llmgw_dialects.profiles import with_overrides

VENDOR = "https://generativelanguage.googleapis.com"


@define(eq=False, kw_only=True)
class Gemini(KeyBackend):
    """Google's Gemini API, by key.

    Args:
        api_key: sent as ``x-goog-api-key``; without one, and at Google's own URL, requests fail and say so.
        keys: several, instead of it; else further ones are taken from ``GEMINI_API_KEY_2`` and so on.
        base_url: Google's, or that of a proxy or a test server before it; without the version.
        version: of the API.
        profile: what a model can do, where it is known better than here; fields of ``llmgw.Profile``.
        identity: whose program Google is told that this is.
    """

    dialect = DIALECT
    paths: ClassVar[Mapping[Operation, str]] = {"count_tokens": ":countTokens"}
    vendor = VENDOR

    name: str = "gemini"
    api_key: Secret = Secret.env("GEMINI_API_KEY")
    base_url: str = VENDOR
    version: str = "v1beta"

    @hookimpl
    def backends(self, gateway: Gateway) -> Iterable[Backend] | None:
        """Only this one."""
        self.gather(gateway.env)
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

    def further_models(self, body: bytes) -> str | None:
        """The next page, by the token on this one (REST reference, ``models.list``)."""
        token = jsons.loads(body).get("nextPageToken")
        return f"{self.models_url}&pageToken={quote(token, safe='')}" if isinstance(token, str) and token else None

    def profile_of(self, dialect: Dialect, model: str) -> Profile:
        """What the dialect knows of a model, and over it what the deployment says."""
        return with_overrides(dialect.profile(model), self.profile)

    def shown(self, key: str) -> Mapping[str, str]:
        """In Google's own header."""
        return {"x-goog-api-key": key}
