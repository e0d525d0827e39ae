"""Qwen Code's login: its file, its lock and its token server.

Source: qwen-code 0.15.10, ``packages/core/src/qwen/sharedTokenManager.ts`` and ``qwenOAuth2.ts``.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final

import aiohttp
from attrs import frozen

from llmgw.stages import Clock
from llmgw_logins import CredentialFile, GrantRefused, Tokens, Vendor, granted, lock_file

TOKEN_URL: Final = "https://chat.qwen.ai/api/v1/oauth2/token"  # noqa: S105  # a URL, no token
CLIENT_ID: Final = "f0304373b74a44d2b584a3fb70ca9e56"
"""Of Qwen Code, which hides nothing by it: a refresh token is bound to the client that it was issued to."""
ALTERNATIVE: Final = (
    "Use the back-end 'dashscope' with a DASHSCOPE_API_KEY (https://modelstudio.console.alibabacloud.com), or Alibaba's Coding "
    "Plan: openai-compatible with base_url https://coding-intl.dashscope.aliyuncs.com/v1 and the plan's key."
)
ADVICE: Final = f"Qwen ended this login on 15 April 2026, and gives no new ones. {ALTERNATIVE}"

_STALE: Final = 10.0
_TRIES: Final = 20
_LIFE: Final = 3600
"""Seconds, where an answer does not say how long a token is good."""
_TOLD: Final = ("access_token", "refresh_token", "token_type", "resource_url")


def home(env: Mapping[str, str]) -> Path:
    """Where Qwen Code keeps what is the user's.

    Args:
        env: the environment.
    """
    if given := env.get("QWEN_HOME"):
        return Path(given)
    folder = env.get("HOME") or env.get("USERPROFILE")
    return (Path(folder) if folder else Path.home()) / ".qwen"


@frozen
class QwenLogin(Vendor):
    """What is Qwen's own about its login.

    Args:
        url: of the token server.
        client_id: of the client that the refresh token was issued to.
    """

    url: str
    client_id: str
    advice = ADVICE
    skew = 30.0

    def tokens(self, tree: Mapping[str, Any]) -> Tokens | None:
        """What the file holds; its ``expiry_date`` is in milliseconds."""
        access, refresh, ends = tree.get("access_token"), tree.get("refresh_token"), tree.get("expiry_date")
        if not isinstance(access, str) or not access:
            return None
        return Tokens(
            access,
            refresh if isinstance(refresh, str) and refresh else None,
            ends / 1000 if isinstance(ends, int | float) and not isinstance(ends, bool) else None,
            {"resource_url": str(tree.get("resource_url") or "")},
        )

    async def grant(self, http: aiohttp.ClientSession, tokens: Tokens) -> Mapping[str, Any]:
        """Ask for fresh ones (RFC 6749, 6); to Qwen's server a 400 means that the refresh token has ended."""
        form = {"grant_type": "refresh_token", "refresh_token": tokens.refresh or "", "client_id": self.client_id}
        try:
            return await granted(http, self.url, form=form)
        except GrantRefused as refused:
            refused.permanent = refused.permanent or "answered 400" in str(refused)
            raise

    def merged(self, tree: Mapping[str, Any], answer: Mapping[str, Any], now: float) -> dict[str, Any]:
        """The file with the answer in it; where that names no refresh token, the old one stays."""
        life = answer.get("expires_in")
        seconds = life if isinstance(life, int | float) and not isinstance(life, bool) else _LIFE
        told = {name: answer[name] for name in _TOLD if answer.get(name)}
        return {**tree, **told, "expiry_date": round((now + seconds) * 1000)}

    def lock(self, file: CredentialFile, clock: Clock) -> AbstractAsyncContextManager[None]:
        """The file that Qwen Code makes while it refreshes."""
        return lock_file(file.path.with_name("oauth_creds.lock"), stale=_STALE, tries=_TRIES, pause=_pause, clock=clock)


def _pause(number: int) -> float:
    """From 100 ms, half as much again each time, up to 2 s."""
    return min(0.1 * 1.5**number, 2.0)
