"""Anthropic's API for who is logged in instead of holding a key: one beta more, and a bearer token."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final
from urllib.parse import quote

from attrs import define, evolve, field

from llmgw import CredentialState, CredentialUnusable, Dialect, Gateway, HttpBackend, ModelInfo, Operation, Profile, Target, jsons
from llmgw.urls import problems
from llmgw_dialects.anthropic_messages import DIALECT
from llmgw_dialects.profiles import with_overrides
from llmgw_logins import Login, Tokens, strange

VENDOR: Final = "https://api.anthropic.com"
VERSION: Final = "2023-06-01"
WITHOUT_SAMPLING: Final = "2026-10-21"
"""The version from which on Anthropic refuses sampling parameters."""
BETA: Final = "oauth-2025-04-20"
"""Without it Anthropic takes no login's token."""


@define(eq=False, kw_only=True)
class ByLogin(HttpBackend):
    """Anthropic by a login; whose it is, and how it is kept fresh, a subclass says.

    Args:
        base_url: Anthropic's, or that of a test server; without ``/v1``.
        version: the ``anthropic-version`` for clients that speak another dialect; those of this one name their own.
        betas: sent as ``anthropic-beta`` besides what the client asks for.
        models: names to list; else what Anthropic lists.
        allow_insecure_origin: whether the login may be shown to a URL that is not Anthropic's.
        profile: what a model can do, where it is known better than here; fields of ``llmgw.Profile``.
    """

    dialect = DIALECT
    path = "/v1/messages"
    paths: ClassVar[Mapping[Operation, str]] = {"count_tokens": "/v1/messages/count_tokens"}
    models_path = "/v1/models?limit=1000"

    base_url: str = VENDOR
    version: str = VERSION
    betas: list[str] = field(factory=list)
    listed: list[str] = field(factory=list, alias="models")
    allow_insecure_origin: bool = False
    profile: dict[str, Any] = field(factory=dict)
    _login: Login | None = field(default=None, init=False, repr=False)

    @property
    def login(self) -> Login:
        """The login."""
        assert self._login is not None, "the hook has made it"
        return self._login

    @property
    def shown_to(self) -> Iterable[tuple[str, str]]:
        """The URLs that the login is shown to, each with the vendor's own."""
        return [(self.base_url, VENDOR)]

    # ---- who asks

    async def authorization(self, gateway: Gateway, target: Target) -> Mapping[str, str]:
        """The token, where it may be shown."""
        for problem in self._strangers():  # SECURITY: before the token is looked for
            raise CredentialUnusable(f"The back-end '{self.name}' is not asked: {problem}.")
        return self.shown(await self.login.tokens(gateway.http))

    async def renewed(self, gateway: Gateway, target: Target, refused: Mapping[str, str]) -> bool:
        """Whether there is another token now."""
        told = refused.get("authorization", "").removeprefix("Bearer ")
        return await self.login.renewed(gateway.http, told) is not None

    def shown(self, tokens: Tokens) -> Mapping[str, str]:
        """How the login is shown."""
        return {"authorization": f"Bearer {tokens.access}"}

    def asking(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """The client's version and betas, or ours for a client of another dialect; and the one that lets a login in."""
        asked = [one.strip() for one in headers.get("anthropic-beta", "").split(",") if one.strip()]
        betas = ",".join(dict.fromkeys([*asked, *self.betas, BETA]))
        return {**headers, "anthropic-version": headers.get("anthropic-version", self.version), "anthropic-beta": betas}

    @property
    def credentials(self) -> Sequence[CredentialState]:
        """The login."""
        return [self.login.state]

    def problems(self) -> Iterable[str]:
        """What is wrong with its URLs, and whose they are."""
        return [*problems(self.base_url, {**self.asking({}), **self.identity.headers({})}), *self._strangers()]

    def _strangers(self) -> Iterable[str]:
        if not self.allow_insecure_origin:
            for url, vendor in self.shown_to:
                if (why := strange(url, vendor)) is not None:
                    yield why

    # ---- what it says

    def profile_of(self, dialect: Dialect, model: str) -> Profile:
        """What the dialect knows of a model, without what the version has no more, and over it what the deployment says."""
        known = dialect.profile(model)
        if self.version >= WITHOUT_SAMPLING:
            known = evolve(known, sampling=known.sampling - {"temperature", "top_p", "top_k"})
        return with_overrides(known, self.profile)

    async def models(self, gateway: Gateway) -> Sequence[ModelInfo]:
        """The models that the deployment lists, else Anthropic's own list."""
        if self.listed:
            return [ModelInfo(name, owned_by="anthropic") for name in self.listed]
        return await super().models(gateway)

    def further_models(self, body: bytes) -> str | None:
        """The next page, which begins behind the last model of this one."""
        tree = jsons.loads(body)
        last = tree.get("last_id") if tree.get("has_more") else None
        return f"{self.models_url}&after_id={quote(last, safe='')}" if isinstance(last, str) and last else None
