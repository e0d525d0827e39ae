"""Codex's login: its file, its lock and its token server.

Source: openai/codex, ``codex-rs/login/src/auth/manager.rs`` and ``storage.rs``, and what version 0.169.0 was seen to do.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import aiohttp
from attrs import frozen

from llmgw.errors import CredentialUnusable
from llmgw.stages import Clock
from llmgw_logins import CredentialFile, Tokens, Vendor, claims, expiry, flocked, granted

TOKEN_URL: Final = "https://auth.openai.com/oauth/token"  # noqa: S105  # a URL, no token
CLIENT_ID: Final = "app_EMoamEEZ73f0CkXaXp7hrann"
"""Of Codex, which publishes it (``CLIENT_ID``): a refresh token is bound to the client that it was issued to."""
INSTEAD: Final = "the back-end 'openai' with an OPENAI_API_KEY"
ADVICE: Final = f"Run: codex login. Without a ChatGPT plan, use {INSTEAD}."

_CLAIMS: Final = "https://api.openai.com/auth"
_OLD: Final = 8 * 86400.0
"""Seconds after which Codex refreshes a token that does not say when it ends."""
_LOCK_WAIT: Final = 5.0
_STORES: Final = ("keyring", "auto")


def home(env: Mapping[str, str]) -> Path:
    """Where Codex keeps what is the user's.

    Args:
        env: the environment.
    """
    if given := env.get("CODEX_HOME"):
        return Path(given)
    folder = env.get("HOME") or env.get("USERPROFILE")
    return (Path(folder) if folder else Path.home()) / ".codex"


def advice(folder: Path) -> str:
    """What to do where there is no login; Codex may keep it where nobody else can read it.

    Args:
        folder: Codex's own.
    """
    try:
        told = tomllib.loads((folder / "config.toml").read_text("utf-8")).get("cli_auth_credentials_store")
    except (OSError, ValueError):
        told = None
    if told not in _STORES:
        return ADVICE
    return (
        f'Codex is told to keep its login in the keyring (cli_auth_credentials_store = "{told}"), where it cannot be read: say '
        f'"file" in its config.toml. {ADVICE}'
    )


def account_in(tokens: Mapping[str, Any]) -> str:
    """The workspace that a login is for; empty where it does not say.

    Args:
        tokens: as Codex's file has them.
    """
    told = tokens.get("account_id")
    if isinstance(told, str) and told:
        return told
    for name in ("id_token", "access_token"):
        about = claims(str(tokens.get(name) or "")).get(_CLAIMS)
        account = about.get("chatgpt_account_id") if isinstance(about, dict) else None
        if isinstance(account, str) and account:
            return account
    return ""


@frozen
class CodexLogin(Vendor):
    """What is Codex's own about its login.

    Args:
        url: of the token server.
        client_id: of the client that the refresh token was issued to.
        clock: the gateway's.
        follows: whether the file is only read, so that a token of unknown age is used until it is refused.
        advice: what to do where there is no login.
    """

    url: str
    client_id: str
    clock: Clock
    follows: bool = False
    advice: str = ADVICE  # type: ignore[misc]  # of a login, not of the vendor: the keyring is one user's choice
    skew = 300.0
    locks_grant = False
    """Codex waits for the lock for 5 s and then asks again with a spent token, so it is never held over the network."""

    def tokens(self, tree: Mapping[str, Any]) -> Tokens | None:
        """What the file holds.

        Raises:
            CredentialUnusable: it is no login with ChatGPT.
        """
        held = tree.get("tokens")
        if tree.get("auth_mode") == "apikey" or (not tree.get("auth_mode") and tree.get("OPENAI_API_KEY")):
            raise CredentialUnusable(f"Codex is logged in with an API key, not with ChatGPT. Run: codex login, or use {INSTEAD}.")
        access = held.get("access_token") if isinstance(held, dict) else None
        if not isinstance(held, dict) or not isinstance(access, str) or not access:
            return None
        refresh = held.get("refresh_token")
        ends = expiry(access)
        return Tokens(
            access,
            refresh if isinstance(refresh, str) and refresh else None,
            self._aged(tree) if ends is None else ends,
            {"account": account_in(held)},
        )

    def _aged(self, tree: Mapping[str, Any]) -> float | None:
        """When a token that does not say so is due."""
        told = tree.get("last_refresh")
        if self.follows or not isinstance(told, str):
            return None
        try:
            at = datetime.fromisoformat(told)
        except ValueError:
            return None
        return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp() + _OLD

    async def grant(self, http: aiohttp.ClientSession, tokens: Tokens) -> Mapping[str, Any]:
        """Ask for fresh ones, in JSON, as Codex does."""
        left = (tokens.expires_at or 0.0) - self.clock.time()
        asked = {
            "client_id": self.client_id,
            "grant_type": "refresh_token",
            "refresh_reason": "proactive_expiry" if left <= self.skew else "unauthorized_recovery",
            "refresh_token": tokens.refresh or "",
        }
        return await granted(http, self.url, json=asked)

    def merged(self, tree: Mapping[str, Any], answer: Mapping[str, Any], now: float) -> dict[str, Any]:
        """The file with the answer in it; what the answer does not name stays."""
        held = tree.get("tokens")
        told = {name: answer[name] for name in ("id_token", "access_token", "refresh_token") if answer.get(name)}
        at = datetime.fromtimestamp(now, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        return {**tree, "tokens": {**(held if isinstance(held, dict) else {}), **told}, "last_refresh": at}

    def lock(self, file: CredentialFile, clock: Clock) -> AbstractAsyncContextManager[None]:
        """The lock that Codex takes while it writes."""
        path = file.path.resolve()
        return flocked(path.with_name(f"{path.name}.lock"), wait=_LOCK_WAIT, clock=clock)
