"""Claude with a login of Anthropic's Console, which is for any program: the organisation of the API pays, as for a key."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Literal

import aiohttp
from attrs import define, field, frozen

from llmgw import Backend, ConfigError, CredentialUnusable, Gateway, UpstreamError, hookimpl
from llmgw_anthropic_oauth.by_login import BETA, VENDOR, ByLogin
from llmgw_anthropic_oauth.refusals import advised
from llmgw_logins import CredentialFile, GrantRefused, Login, Mode, Tokens, Vendor, ask, found, granted

COMMAND: Final = ("auth", "print-credentials", "--access-token")
"""Of ``ant``, Anthropic's own command: it prints a token, and refreshes the file where that is due."""
WHERE: Final = "~/.config/anthropic/configs"
WORKSPACE: Final = "anthropic-workspace-id"

_LIFE: Final = 3600
"""Seconds of a token that does not say how long it is good for, as for Anthropic's SDK."""
_ELSE: Final = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN")
"""What ``ant`` would take instead of the profile."""


@define(eq=False, kw_only=True)
class AnthropicConsole(ByLogin):
    """Claude with the login of ``ant auth login``. Anthropic means it for any program; the organisation of its API pays.

    Args:
        login: the profile; else ``ANTHROPIC_PROFILE``, or the one that is active, or ``default``.
        config_dir: where the profiles are, instead of ``~/.config/anthropic`` or ``ANTHROPIC_CONFIG_DIR``.
        source: how a fresh token is come by: ``delegate`` has ``ant`` refresh the login, ``follow`` only reads the file,
            ``co-manage`` refreshes it here and writes the file; ``auto`` is ``delegate`` where ``ant`` is installed, else
            ``follow``.
        refresh: the same as ``source: co-manage``.
        token_url: where fresh tokens are asked for; else ``/v1/oauth/token`` below ``base_url``.
        base_url: Anthropic's, or that of a test server; without ``/v1``.
        version: the ``anthropic-version`` for clients that speak another dialect; those of this one name their own.
        betas: sent as ``anthropic-beta`` besides what the client asks for.
        models: names to list; else what Anthropic lists.
        allow_insecure_origin: whether the login may be shown to a URL that is not Anthropic's.
        profile: what a model can do, where it is known better than here; fields of ``llmgw.Profile``.
        identity: whose program Anthropic is told that this is.
    """

    name: str = "anthropic-console"
    chosen: str = field(default="", alias="login")
    config_dir: Path | None = None
    source: Literal["auto", "delegate", "follow", "co-manage"] = "auto"
    refresh: bool = False
    token_url: str = ""
    _ant: str | None = field(default=None, init=False)
    """Where ``ant`` is."""

    @hookimpl
    def backends(self, gateway: Gateway) -> Iterable[Backend] | None:
        """Only this one.

        Raises:
            ConfigError: the profile's name cannot be one.
        """
        folder = self.config_dir or home(gateway.env)
        name = self.chosen or active(folder, gateway.env)
        if name != Path(name).name or name.startswith(".") or "\\" in name:  # SECURITY: it becomes a part of a path
            raise ConfigError(f"{name!r} is no name of a profile: name one of those in {WHERE} @ backends.{self.name}.login")
        self._ant = found("ant", gateway.env)
        advice = "Run: " + (f"ANTHROPIC_PROFILE={name} " if name != "default" else "") + "ant auth login"
        about = CredentialFile(folder / "configs" / f"{name}.json", advice)
        vendor = ConsoleLogin(self.asked_at, about, advice)
        env = {key: value for key, value in gateway.env.items() if key not in _ELSE}
        env |= {"ANTHROPIC_PROFILE": name, "ANTHROPIC_CONFIG_DIR": str(folder)}

        async def delegate() -> None:
            await ask([self._ant or "ant", *COMMAND], env=env)

        file = CredentialFile(vendor.kept_in or folder / "credentials" / f"{name}.json", advice)
        self._login = Login(self.name, vendor, file, self._mode(), gateway.clock, delegate=delegate)
        return [self]

    def _mode(self) -> Mode:
        if self.refresh:
            return "co-manage"
        if self.source != "auto":
            return self.source
        return "delegate" if self._ant else "follow"

    @property
    def asked_at(self) -> str:
        """Where fresh tokens are asked for."""
        return self.token_url or f"{self.base_url.rstrip('/')}/v1/oauth/token"

    @property
    def shown_to(self) -> Iterable[tuple[str, str]]:
        """Anthropic, and its token server where that is asked here."""
        return [*super().shown_to, *([(self.asked_at, VENDOR)] if self.login.mode == "co-manage" else [])]

    def problems(self) -> Iterable[str]:
        """What is wrong with its URLs, whether they are the profile's, and whether ``ant`` is there to be asked."""
        yield from super().problems()
        vendor = self.login.vendor
        if isinstance(vendor, ConsoleLogin) and (told := vendor.meant_for) and told.rstrip("/") != self.base_url.rstrip("/"):
            yield f"the profile's login is for {told}: say `base_url: {told}`, or choose another profile"
        if self.login.mode == "delegate" and self._ant is None:
            yield "`source: delegate` needs the command ant on the PATH: install it, or say `source: follow`"

    def shown(self, tokens: Tokens) -> Mapping[str, str]:
        """The token, and the workspace that the profile is for."""
        space = tokens.about.get("workspace")
        return {**super().shown(tokens), **({WORKSPACE: space} if space else {})}

    def explained(self, error: UpstreamError) -> UpstreamError:
        """With the command to run, where the login is not taken."""
        return advised(error, self.login.vendor.advice)


@frozen
class ConsoleLogin(Vendor):
    """What is the Console's own about its login: a file of tokens and another one of settings (SDK of Anthropic, 2.12).

    Args:
        url: of the token server.
        settings: the profile's file of settings.
        advice: what to do where there is no login.
    """

    url: str
    settings: CredentialFile
    advice: str  # type: ignore[misc]  # with the profile's name
    skew = 120.0

    @property
    def kept_in(self) -> Path | None:
        """The file of tokens, where the settings name another than the usual one."""
        told = self._told()[1].get("credentials_path")
        return Path(told).expanduser() if isinstance(told, str) and told else None

    @property
    def meant_for(self) -> str:
        """The server that the settings name, if they do."""
        return str(self._told()[0].get("base_url") or "")

    def tokens(self, tree: Mapping[str, Any]) -> Tokens | None:
        """Those of the file, with times in seconds; who is no client of its own cannot refresh them, and somebody else does."""
        access, refresh, until = tree.get("access_token"), tree.get("refresh_token"), tree.get("expires_at")
        if not isinstance(access, str) or not access:
            return None
        settings, login = self._read()
        space = settings.get("workspace_id") if login.get("type") != "oidc_federation" else None  # those tokens hold it
        return Tokens(
            access,
            refresh if isinstance(refresh, str) and refresh and login.get("client_id") else None,
            until if isinstance(until, int | float) and not isinstance(until, bool) else None,
            {"workspace": space} if isinstance(space, str) and space else {},
        )

    async def grant(self, http: aiohttp.ClientSession, tokens: Tokens) -> Mapping[str, Any]:
        """Ask for fresh ones."""
        client = self._read()[1].get("client_id")
        if tokens.refresh is None or not client:
            raise GrantRefused("this profile is refreshed by somebody else", permanent=True)
        body = {"grant_type": "refresh_token", "refresh_token": tokens.refresh, "client_id": client}
        return await granted(http, self.url, json=body, headers={"anthropic-beta": BETA})

    def merged(self, tree: Mapping[str, Any], answer: Mapping[str, Any], now: float) -> dict[str, Any]:
        """The file with the answer in it."""
        left = answer.get("expires_in")
        fresh = {
            "access_token": answer["access_token"],
            "expires_at": int(now + (left if isinstance(left, int | float) else _LIFE)),
        }
        if answer.get("refresh_token"):
            fresh["refresh_token"] = answer["refresh_token"]
        return {**tree, **fresh}

    def _told(self) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """The same; of a file that cannot be read nothing, which whoever asks for tokens is told of."""
        try:
            return self._read()
        except CredentialUnusable:
            return {}, {}

    def _read(self) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """The profile's settings, and those of them that say how one logs in; a login may have none."""
        settings = self.settings.read() if self.settings.path.exists() else {}
        login = settings.get("authentication")
        return settings, login if isinstance(login, dict) else {}


def home(env: Mapping[str, str]) -> Path:
    """Where Anthropic's SDK and ``ant`` keep their profiles.

    Args:
        env: the environment.
    """
    if env.get("ANTHROPIC_CONFIG_DIR"):
        return Path(env["ANTHROPIC_CONFIG_DIR"])
    if sys.platform == "win32" and env.get("APPDATA"):
        return Path(env["APPDATA"]) / "Anthropic"
    return Path(env.get("HOME") or "~").expanduser() / ".config" / "anthropic"


def active(folder: Path, env: Mapping[str, str]) -> str:
    """The profile that is used where none is named.

    Args:
        folder: of the profiles.
        env: the environment.
    """
    if env.get("ANTHROPIC_PROFILE"):
        return env["ANTHROPIC_PROFILE"]
    try:
        return (folder / "active_config").read_text("utf-8").strip() or "default"
    except (OSError, UnicodeDecodeError):
        return "default"
