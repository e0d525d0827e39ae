"""Asking an authorization server for a fresh token (RFC 6749, 6)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any, Final

import aiohttp

from llmgw import jsons

_PERMANENT: Final = frozenset({
    "invalid_grant", "invalid_client", "unauthorized_client", "refresh_token_expired", "refresh_token_reused",
    "refresh_token_invalidated", "invalid_refresh_token", "invalid_token",
})  # fmt: skip
_LIMIT: Final = 2**20
_WORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
"""What a code may look like."""


class GrantRefused(Exception):
    """There is no fresh token.

    Args:
        message: what happened, without any token.
        code: the server's word for it.
        permanent: whether asking again is of no use.
    """

    def __init__(self, message: str, *, code: str = "", permanent: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.permanent = permanent


async def granted(
    http: aiohttp.ClientSession,
    url: str,
    *,
    form: Mapping[str, str] | None = None,
    json: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    patience: float = 30.0,
) -> dict[str, Any]:
    """Ask for a token.

    Args:
        http: the gateway's session.
        url: the token endpoint.
        form: the request as a form, as the RFC has it.
        json: the request as JSON, as some vendors have it.
        headers: others.
        patience: seconds for the answer.

    Returns:
        The server's answer, which has an ``access_token``.

    Raises:
        GrantRefused: it gave none.
    """
    body = form if json is None else jsons.dumps(json)
    kind = {} if json is None else {"content-type": "application/json"}
    try:
        async with (
            asyncio.timeout(patience),
            http.post(url, data=body, headers={**kind, **(headers or {})}, allow_redirects=False) as response,
        ):
            status, data = response.status, b""
            while len(data) < _LIMIT and (piece := await response.content.read(_LIMIT - len(data))):
                data += piece
    except (aiohttp.ClientError, TimeoutError) as error:
        raise GrantRefused(f"the token server cannot be reached ({type(error).__name__})") from None
    answer = _object(data)
    if status == 200 and isinstance(answer.get("access_token"), str) and answer["access_token"]:
        return answer
    code = _code(answer, {**(form or {}), **(json or {})})
    told = f": {code}" if code else ""
    raise GrantRefused(f"the token server answered {status}{told}", code=code, permanent=status == 401 or code in _PERMANENT)


def _object(data: bytes) -> dict[str, Any]:
    try:
        tree = jsons.loads(data)
    except jsons.JsonError:
        return {}
    return tree if isinstance(tree, dict) else {}


def _code(answer: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    """The word for what is wrong, which vendors put in one of three places; what was sent must not come back in a message."""
    error = answer.get("error")
    nested = error.get("code") if isinstance(error, dict) else error
    code = nested or answer.get("code")
    if not isinstance(code, str) or code in _PERMANENT:
        return code if isinstance(code, str) else ""
    secrets = [value for name, value in {**asked, **answer}.items() if name not in ("grant_type", "error", "code")]
    told = any(isinstance(one, str) and one and (one in code or code in one) for one in secrets)
    return code if _WORD.fullmatch(code) and not told else ""
