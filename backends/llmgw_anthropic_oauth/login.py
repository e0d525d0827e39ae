"""Claude Code's login: its file, its locks and its token server (Claude Code 2.1.197)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
from attrs import frozen

from llmgw.stages import Clock
from llmgw_logins import CredentialFile, Tokens, Vendor, granted, lock_directory

TOKEN_URL: Final = "https://platform.claude.com/v1/oauth/token"  # noqa: S105  # a URL, no token
CLIENT_ID: Final = "9d1c250a-e61b-44d9-88ed-5944d1962f5e"
"""Of Claude Code, as its npm bundle has it: a refresh token is bound to the client that it was issued to."""
ADVICE: Final = "Run: claude /login (or: claude setup-token, and export CLAUDE_CODE_OAUTH_TOKEN)"
KEY: Final = "claudeAiOauth"

_STALE: Final = 10.0
_TRIES: Final = 5


def home(env: Mapping[str, str]) -> Path:
    """Where Claude Code keeps its files."""
    given = env.get("CLAUDE_SECURESTORAGE_CONFIG_DIR") or env.get("CLAUDE_CONFIG_DIR")
    return Path(given) if given else Path(env.get("HOME") or "~").expanduser() / ".claude"


@frozen
class ClaudeLogin(Vendor):
    """What is Claude's own about its login.

    Args:
        url: of the token server.
        client_id: of the client that the refresh token was issued to, where the file names none.
    """

    url: str
    client_id: str
    advice = ADVICE
    skew = 300.0

    def tokens(self, tree: Mapping[str, Any]) -> Tokens | None:
        """Those of the file; empty ones are what a login that has ended leaves behind. Times are in milliseconds."""
        held = tree.get(KEY)
        access = held.get("accessToken") if isinstance(held, dict) else None
        if not isinstance(held, dict) or not isinstance(access, str) or not access:
            return None
        refresh, until = held.get("refreshToken"), held.get("expiresAt")
        return Tokens(
            access,
            refresh if isinstance(refresh, str) and refresh else None,
            until / 1000 if isinstance(until, int | float) and not isinstance(until, bool) else None,
            {"client": str(held.get("clientId") or "")},
        )

    async def grant(self, http: aiohttp.ClientSession, tokens: Tokens) -> Mapping[str, Any]:
        """Ask for fresh ones."""
        assert tokens.refresh is not None, "the caller has seen to it"
        client = tokens.about.get("client") or self.client_id
        body = {"grant_type": "refresh_token", "refresh_token": tokens.refresh, "client_id": client}
        return await granted(http, self.url, json=body)

    def merged(self, tree: Mapping[str, Any], answer: Mapping[str, Any], now: float) -> dict[str, Any]:
        """The file with the answer in it; what belongs to others stays."""
        held = tree.get(KEY)
        fresh: dict[str, Any] = {"accessToken": answer["access_token"]}
        if answer.get("refresh_token"):
            fresh["refreshToken"] = answer["refresh_token"]
        if isinstance(answer.get("expires_in"), int | float):
            fresh["expiresAt"] = int((now + answer["expires_in"]) * 1000)
        if isinstance(answer.get("scope"), str):
            fresh["scopes"] = answer["scope"].split()
        return {**tree, KEY: {**(held if isinstance(held, dict) else {}), **fresh}}

    def lock(self, file: CredentialFile, clock: Clock) -> AbstractAsyncContextManager[None]:
        """The directories that Claude Code makes while it refreshes: its own lock, and that of its older versions."""
        folder = file.path.parent
        real = folder.resolve()
        return _locked(folder, real.with_name(f"{real.name}.lock"), clock)


@asynccontextmanager
async def _locked(folder: Path, older: Path, clock: Clock) -> AsyncIterator[None]:
    async with (
        lock_directory(folder / ".oauth_refresh.lock", stale=_STALE, tries=_TRIES, pause=_pause, clock=clock),
        lock_directory(older, stale=_STALE, tries=_TRIES, pause=_pause, clock=clock),
        lock_directory(folder / ".storage-write.lock", stale=15.0, tries=10, pause=_pause, clock=clock),
    ):
        yield


def _pause(number: int) -> float:
    return 1.0 + 0.25 * number
