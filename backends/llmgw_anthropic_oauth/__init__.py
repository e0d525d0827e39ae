"""Claude with the login of Claude Code, where its owner has accepted what Anthropic's terms say of that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

from attrs import define, field

from llmgw import (
    Backend,
    Clock,
    ConfigError,
    CredentialState,
    CredentialUnusable,
    Dialect,
    Gateway,
    HttpBackend,
    ModelInfo,
    Operation,
    Profile,
    Secret,
    Target,
    UpstreamError,
    hookimpl,
)
from llmgw.urls import problems
from llmgw_anthropic_oauth.login import ADVICE, CLIENT_ID, TOKEN_URL, ClaudeLogin, home
from llmgw_anthropic_oauth.refusals import ALTERNATIVE, explained
from llmgw_dialects.anthropic_messages import DIALECT
from llmgw_dialects.profiles import with_overrides
from llmgw_logins import CredentialFile, Login, Mode, Terms, Tokens, strange

VENDOR: Final = "https://api.anthropic.com"
VERSION: Final = "2023-06-01"
BETA: Final = "oauth-2025-04-20"
"""Without it Anthropic takes no login's token."""
TERMS: Final = Terms(
    "Anthropic's terms forbid a Free, Pro or Max login in other programs than its own, its servers refuse or bill it, and the "
    f"account may be restricted. {ALTERNATIVE}",
    forbidden=True,
)


@define(eq=False, kw_only=True)
class AnthropicOAuth(HttpBackend):
    """Claude with the login of Claude Code. Anthropic forbids that in other programs than its own and mostly refuses it.

    Off unless ``i_accept_vendor_terms`` is true, and then for this machine alone. Nothing is sent that pretends to be Claude
    Code. Its file is read whenever it changes and never written, unless ``refresh`` is true.

    Args:
        i_accept_vendor_terms: whether you know that Anthropic forbids this, and may restrict your account.
        token: of ``claude setup-token``, which is good for a year; it counts before the file.
        credentials_file: instead of ``~/.claude/.credentials.json``, or that below ``CLAUDE_CONFIG_DIR``.
        source: ``env`` for the variable, ``follow`` for the file; else the variable where it is set.
        refresh: whether the login is refreshed here, and the file written, under Claude Code's own locks.
        client_id: of the client that the login was made with; else ``CLAUDE_CODE_OAUTH_CLIENT_ID``, or Claude Code's.
        token_url: where fresh tokens are asked for.
        base_url: Anthropic's, or that of a test server; without ``/v1``.
        version: the ``anthropic-version`` for clients that speak another dialect; those of this one name their own.
        betas: sent as ``anthropic-beta`` besides what the client asks for.
        models: names to list; else what Anthropic lists.
        allow_insecure_origin: whether the login may be shown to a URL that is not Anthropic's.
        profile: what a model can do, where it is known better than here; fields of ``llmgw.Profile``.
        identity: whose program Anthropic is told that this is.
    """

    dialect = DIALECT
    path = "/v1/messages"
    paths: ClassVar[Mapping[Operation, str]] = {"count_tokens": "/v1/messages/count_tokens"}
    models_path = "/v1/models?limit=1000"
    loopback_only = True
    notices = (TERMS.notice,)
    terms = TERMS

    name: str = "anthropic-oauth"
    i_accept_vendor_terms: bool = False
    token: Secret = Secret.env("CLAUDE_CODE_OAUTH_TOKEN")
    credentials_file: Path | None = None
    source: Literal["env", "follow"] | None = None
    refresh: bool = False
    client_id: str = ""
    token_url: str = TOKEN_URL
    base_url: str = VENDOR
    version: str = VERSION
    betas: list[str] = field(factory=list)
    listed: list[str] = field(factory=list, alias="models")
    allow_insecure_origin: bool = False
    profile: dict[str, Any] = field(factory=dict)
    _login: Login | None = field(default=None, init=False, repr=False)
    _clock: Clock = field(factory=Clock, init=False, repr=False)

    @hookimpl
    def backends(self, gateway: Gateway) -> Iterable[Backend] | None:
        """Only this one.

        Raises:
            ConfigError: nobody has accepted the vendor's terms.
        """
        if not self.i_accept_vendor_terms:
            raise ConfigError(
                f"{TERMS.notice} Whoever accepts the risk says `i_accept_vendor_terms: true` @ backends.{self.name}"
            )
        env, self._clock = gateway.env, gateway.clock
        path = self.credentials_file or home(env) / ".credentials.json"
        given = self.token.is_set and self.source != "follow"
        vendor = ClaudeLogin(self.token_url, self.client_id or env.get("CLAUDE_CODE_OAUTH_CLIENT_ID") or CLIENT_ID)
        mode: Mode = "env" if given else "co-manage" if self.refresh else "follow"
        tokens = Tokens(self.token.reveal()) if given else None
        file = CredentialFile(path, ADVICE)
        self._login = Login(self.name, vendor, file, mode, gateway.clock, given=tokens, where=self.token.name)
        return [self]

    @property
    def login(self) -> Login:
        """The login."""
        assert self._login is not None, "the hook has made it"
        return self._login

    # ---- who asks

    async def authorization(self, gateway: Gateway, target: Target) -> Mapping[str, str]:
        """The token, where it may be shown."""
        for problem in self._strangers():  # SECURITY: before the token is looked for
            raise CredentialUnusable(f"The back-end '{self.name}' is not asked: {problem}.")
        return {"authorization": f"Bearer {(await self.login.tokens(gateway.http)).access}"}

    async def renewed(self, gateway: Gateway, target: Target, refused: Mapping[str, str]) -> bool:
        """Whether there is another token now."""
        told = refused.get("authorization", "").removeprefix("Bearer ")
        return await self.login.renewed(gateway.http, told) is not None

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
        if self.allow_insecure_origin:
            return
        urls = [(self.base_url, VENDOR), *([(self.token_url, TOKEN_URL)] if self.refresh else [])]
        for url, vendor in urls:
            if (why := strange(url, vendor)) is not None:
                yield why

    # ---- what it says

    def profile_of(self, dialect: Dialect, model: str) -> Profile:
        """What the dialect knows of a model, and over it what the deployment says."""
        return with_overrides(dialect.profile(model), self.profile)

    def explained(self, error: UpstreamError) -> UpstreamError:
        """With what to do next."""
        return explained(error, ADVICE, self._clock.time())

    async def models(self, gateway: Gateway) -> Sequence[ModelInfo]:
        """The models that the deployment lists, else Anthropic's own list."""
        if self.listed:
            return [ModelInfo(name, owned_by="anthropic") for name in self.listed]
        return await super().models(gateway)
