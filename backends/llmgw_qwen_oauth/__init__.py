"""Qwen's models with the login of Qwen Code, which Qwen ended on 15 April 2026: for whoever still has one that works."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from attrs import define, field

from llmgw import (
    Backend,
    CredentialState,
    CredentialUnusable,
    Dialect,
    Gateway,
    HttpBackend,
    ModelInfo,
    Profile,
    Request,
    Target,
    UpstreamError,
    hookimpl,
)
from llmgw.urls import problems
from llmgw_dialects.openai_chat import COMPATIBLE
from llmgw_dialects.profiles import with_overrides
from llmgw_logins import CredentialFile, Login, Terms, strange
from llmgw_qwen_oauth.login import ADVICE, ALTERNATIVE, CLIENT_ID, TOKEN_URL, QwenLogin, home
from llmgw_qwen_oauth.refusals import explained

VENDOR: Final = "https://dashscope.aliyuncs.com/compatible-mode/v1"
VENDORS: Final = (
    VENDOR, "https://dashscope-intl.aliyuncs.com", "https://dashscope-us.aliyuncs.com", "https://portal.qwen.ai",
    "https://chat.qwen.ai",
)  # fmt: skip
"""Whose doors the login may be shown at: under aliyuncs.com everybody can have a host."""
MODELS: Final = ("coder-model",)
TERMS: Final = Terms(f"Qwen ended this login on 15 April 2026; its servers refuse it. {ALTERNATIVE}")


@define(eq=False, kw_only=True)
class QwenOAuth(HttpBackend):
    """Qwen's models with the login of Qwen Code. Qwen ended it on 15 April 2026, so it is off until named, and mostly refused.

    Its file is read whenever it changes and never written, unless ``refresh`` is true. This machine alone is served.

    Args:
        credentials_file: instead of ``~/.qwen/oauth_creds.json``, or that below ``QWEN_HOME``.
        refresh: whether the login is refreshed here, and the file written, under Qwen Code's own lock.
        client_id: of the client that the login was made with.
        token_url: where fresh tokens are asked for.
        base_url: before ``/chat/completions``; else the one that the login names, or DashScope's.
        models: names to list, instead of ``coder-model``.
        allow_insecure_origin: whether the login may be shown to a URL that is not Qwen's.
        profile: what a model can do, where it is known better than here; fields of ``llmgw.Profile``.
        identity: whose program Qwen is told that this is.
    """

    dialect = COMPATIBLE
    path = "/chat/completions"
    loopback_only = True
    notices = (TERMS.notice,)
    terms = TERMS

    name: str = "qwen-oauth"
    credentials_file: Path | None = None
    refresh: bool = False
    client_id: str = CLIENT_ID
    token_url: str = TOKEN_URL
    listed: list[str] = field(factory=list, alias="models")
    allow_insecure_origin: bool = False
    profile: dict[str, Any] = field(factory=dict)
    _login: Login | None = field(default=None, init=False, repr=False)
    _named: str = field(default="", init=False)
    """Where the configuration says to ask; without that, the login says it."""

    @hookimpl
    def backends(self, gateway: Gateway) -> Iterable[Backend] | None:
        """Only this one."""
        path = self.credentials_file or home(gateway.env) / "oauth_creds.json"
        vendor = QwenLogin(self.token_url, self.client_id)
        file = CredentialFile(path, ADVICE)
        self._login = Login(self.name, vendor, file, "co-manage" if self.refresh else "follow", gateway.clock)
        self._named = self.base_url.rstrip("/")
        self.base_url = self._named or self._endpoint()
        return [self]

    @property
    def login(self) -> Login:
        """The login."""
        assert self._login is not None, "the hook has made it"
        return self._login

    # ---- where to ask

    def _endpoint(self) -> str:
        try:
            return endpoint(str(self.login.file.read().get("resource_url") or ""))
        except CredentialUnusable:
            return VENDOR

    async def prepared(self, gateway: Gateway, target: Target) -> None:
        """Where to ask, which a refreshed login may say anew."""
        if not self._named:
            self.base_url = self._endpoint()

    def url(self, target: Target, request: Request) -> str:
        """Where this request goes."""
        return self.base_url + self.path

    def _strangers(self) -> Iterable[str]:
        if self.allow_insecure_origin:
            return
        found = [strange(self.base_url, one) for one in VENDORS]
        if None not in found and found[0] is not None:
            yield found[0]
        if self.refresh and (why := strange(self.token_url, TOKEN_URL)) is not None:
            yield why

    # ---- who asks

    async def authorization(self, gateway: Gateway, target: Target) -> Mapping[str, str]:
        """The token, where it may be shown."""
        self._refuse_strangers()  # SECURITY: before the token is looked for, or a fresh one is asked for
        token = (await self.login.tokens(gateway.http)).access
        await self.prepared(gateway, target)  # the login may be another one by now
        self._refuse_strangers()
        return {"authorization": f"Bearer {token}"}

    def _refuse_strangers(self) -> None:
        for problem in self._strangers():
            raise CredentialUnusable(f"The back-end '{self.name}' is not asked: {problem}.")

    async def renewed(self, gateway: Gateway, target: Target, refused: Mapping[str, str]) -> bool:
        """Whether there is another token now."""
        told = refused.get("authorization", "").removeprefix("Bearer ")
        return await self.login.renewed(gateway.http, told) is not None

    def asking(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """What DashScope wants to know: how this login was made, and whose program this is, which is not Qwen Code."""
        return {
            **headers,
            "x-dashscope-authtype": "qwen-oauth",
            "x-dashscope-cachecontrol": "enable",
            "x-dashscope-useragent": self.identity.headers({})["user-agent"],
        }

    @property
    def credentials(self) -> Sequence[CredentialState]:
        """The login."""
        return [self.login.state]

    def problems(self) -> Iterable[str]:
        """What is wrong with its URLs, and whose they are."""
        return [*problems(self.base_url, {**self.asking({}), **self.identity.headers({})}), *self._strangers()]

    # ---- what it says

    def profile_of(self, dialect: Dialect, model: str) -> Profile:
        """What the dialect knows of a model, with what DashScope lacks, and over it what the deployment says."""
        return with_overrides(dialect.profile(model), {"json_schema": False, "thinking": "none", **self.profile})

    def explained(self, error: UpstreamError) -> UpstreamError:
        """With what to do next."""
        return explained(error)

    async def models(self, gateway: Gateway) -> Sequence[ModelInfo]:
        """The models that the deployment lists, else the one that the login is for; Qwen has no list of them."""
        return [ModelInfo(name, owned_by="qwen") for name in self.listed or MODELS]


def endpoint(resource: str) -> str:
    """Where to ask, by what a login names, which may be a bare host.

    Args:
        resource: as ``portal.qwen.ai``; empty for DashScope.
    """
    named = resource.rstrip("/")
    if not named:
        return VENDOR
    url = named if "://" in named else f"https://{named}"
    return url if url.endswith("/v1") else f"{url}/v1"
