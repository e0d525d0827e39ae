"""The Gemini CLI's login: its file, and how it is refreshed.

Source: gemini-cli, ``packages/core/src/code_assist/oauth2.ts``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import aiohttp
from attrs import define

from llmgw import Secret, jsons
from llmgw_logins import Tokens, Vendor, granted

TOKEN_URL = "https://oauth2.googleapis.com/token"  # noqa: S105  # a URL
ADVICE = "Run: gemini, and choose to log in with Google; the CLI renews its login whenever it starts."
_TOLD = ("access_token", "refresh_token", "scope", "token_type", "id_token")
_LIFE = 3600
"""Seconds, where an answer does not say how long a token is good."""


@define(eq=False)
class GeminiLogin(Vendor):
    """Google's.

    Args:
        token_url: where fresh tokens are asked for.
        client_id: the CLI's own.
        client_secret: that of an installed application, which hides nothing.
    """

    advice: ClassVar[str] = ADVICE
    skew: ClassVar[float] = 300.0
    """As the CLI: five minutes."""

    token_url: str
    client_id: str | None
    client_secret: Secret

    def tokens(self, tree: Mapping[str, Any]) -> Tokens | None:
        """What the file holds; its ``expiry_date`` is in milliseconds."""
        access, refresh, ends = tree.get("access_token"), tree.get("refresh_token"), tree.get("expiry_date")
        if not isinstance(access, str) or not access:
            return None
        until = ends / 1000 if isinstance(ends, int | float) and not isinstance(ends, bool) else None
        return Tokens(access, refresh if isinstance(refresh, str) and refresh else None, until)

    async def grant(self, http: aiohttp.ClientSession, tokens: Tokens) -> Mapping[str, Any]:
        """Ask for a fresh access token (RFC 6749, 6); the refresh token stays what it is."""
        form = {
            "client_id": self.client_id or "",
            "client_secret": self.client_secret.reveal(),
            "refresh_token": tokens.refresh or "",
            "grant_type": "refresh_token",
        }
        return await granted(http, self.token_url, form=form)

    def merged(self, tree: Mapping[str, Any], answer: Mapping[str, Any], now: float) -> dict[str, Any]:
        """The file with the answer in it, which names a refresh token only if there is another."""
        life = answer.get("expires_in")
        seconds = life if isinstance(life, int | float) and not isinstance(life, bool) else _LIFE
        told = {name: answer[name] for name in _TOLD if answer.get(name)}
        return {**tree, **told, "expiry_date": round((now + seconds) * 1000)}


def home(env: Mapping[str, str]) -> Path:
    """Where the CLI keeps what is the user's.

    Args:
        env: the environment.
    """
    named = env.get("GEMINI_CLI_HOME") or env.get("HOME") or env.get("USERPROFILE")
    return (Path(named) if named else Path.home()) / ".gemini"


def torn(path: Path) -> bool:
    """Whether a file is being written at this moment: the CLI does not replace it but writes into it.

    Args:
        path: the file.
    """
    try:
        jsons.loads(path.read_bytes())
    except jsons.JsonError:
        return True
    except OSError:
        pass
    return False
