"""Claude with the login of Claude Code, where its owner has accepted what Anthropic's terms say of that."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final, Literal

from attrs import define, field

from llmgw import Backend, Clock, ConfigError, Gateway, Secret, UpstreamError, hookimpl
from llmgw_anthropic_oauth.by_login import ByLogin
from llmgw_anthropic_oauth.console import AnthropicConsole
from llmgw_anthropic_oauth.login import ADVICE, CLIENT_ID, TOKEN_URL, ClaudeLogin, home
from llmgw_anthropic_oauth.refusals import ALTERNATIVE, explained
from llmgw_logins import CredentialFile, Login, Mode, Terms, Tokens

__all__ = ["AnthropicConsole", "AnthropicOAuth"]

TERMS: Final = Terms(
    "Anthropic's terms forbid a Free, Pro or Max login in other programs than its own, its servers refuse or bill it, and the "
    f"account may be restricted. {ALTERNATIVE}",
    forbidden=True,
)


@define(eq=False, kw_only=True)
class AnthropicOAuth(ByLogin):
    """Claude with the login of Claude Code. Anthropic forbids that in other programs than its own and mostly refuses it.

    Off unless ``i_accept_vendor_terms`` is true, and then for this machine alone. Nothing is sent that pretends to be Claude
    Code. Its file is read whenever it changes and never written, unless ``refresh`` is true.

    Args:
        i_accept_vendor_terms: whether you know that Anthropic forbids this, and may restrict your account.
        token: of ``claude setup-token``, which is good for a year; it counts before the file.
        credentials_file: instead of ``~/.claude/.credentials.json``, or that below ``CLAUDE_CONFIG_DIR``.
        source: how a fresh token is come by: ``env`` is the variable, ``follow`` only reads the file, ``co-manage`` refreshes
            it here and writes the file, under Claude Code's own locks; ``auto`` is the variable where it is set, else
            ``follow``.
        refresh: the same as ``source: co-manage``.
        client_id: of the client that the login was made with, where the file does not say; else
            ``CLAUDE_CODE_OAUTH_CLIENT_ID``, or Claude Code's.
        token_url: where fresh tokens are asked for.
        base_url: Anthropic's, or that of a test server; without ``/v1``.
        version: the ``anthropic-version`` for clients that speak another dialect; those of this one name their own.
        betas: sent as ``anthropic-beta`` besides what the client asks for.
        models: names to list; else what Anthropic lists.
        allow_insecure_origin: whether the login may be shown to a URL that is not Anthropic's.
        profile: what a model can do, where it is known better than here; fields of ``llmgw.Profile``.
        identity: whose program Anthropic is told that this is.
    """

    loopback_only = True
    notices = (TERMS.notice,)
    terms = TERMS

    name: str = "anthropic-oauth"
    i_accept_vendor_terms: bool = False
    token: Secret = Secret.env("CLAUDE_CODE_OAUTH_TOKEN")
    credentials_file: Path | None = None
    source: Literal["auto", "env", "follow", "co-manage"] = "auto"
    refresh: bool = False
    client_id: str = ""
    token_url: str = TOKEN_URL
    _clock: Clock = field(factory=Clock, init=False, repr=False)

    @hookimpl
    def backends(self, gateway: Gateway) -> Iterable[Backend] | None:
        """Only this one.

        Raises:
            ConfigError: nobody has accepted the vendor's terms, or the variable is asked for and not set.
        """
        if not self.i_accept_vendor_terms:
            raise ConfigError(
                f"{TERMS.notice} Whoever accepts the risk says `i_accept_vendor_terms: true` @ backends.{self.name}"
            )
        env, self._clock, mode = gateway.env, gateway.clock, self._mode()
        if mode == "env" and not self.token.is_set:
            raise ConfigError(f"`source: env` needs {self.token.name}, which is not set @ backends.{self.name}.source")
        vendor = ClaudeLogin(self.token_url, self.client_id or env.get("CLAUDE_CODE_OAUTH_CLIENT_ID") or CLIENT_ID)
        file = CredentialFile(self.credentials_file or home(env) / ".credentials.json", ADVICE)
        given = Tokens(self.token.reveal()) if mode == "env" else None
        self._login = Login(self.name, vendor, file, mode, gateway.clock, given=given, where=self.token.name)
        return [self]

    def _mode(self) -> Mode:
        if self.refresh:
            return "co-manage"
        if self.source != "auto":
            return self.source
        return "env" if self.token.is_set else "follow"

    @property
    def shown_to(self) -> Iterable[tuple[str, str]]:
        """Anthropic, and its token server where that is asked here."""
        return [*super().shown_to, *([(self.token_url, TOKEN_URL)] if self.login.mode == "co-manage" else [])]

    def explained(self, error: UpstreamError) -> UpstreamError:
        """With what to do next."""
        return explained(error, ADVICE, self._clock.time())
