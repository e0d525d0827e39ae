"""Where a workspace is served, which ChatGPT tells of each account (``wham/accounts/check``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import aiohttp
from attrs import frozen

from llmgw import jsons
from llmgw.errors import CredentialUnusable

_UNBOUND: Final = "NO_CONSTRAINT"
_LIMIT: Final = 2**20
HEADER: Final = "x-openai-account-routing-override"


@frozen
class Workspace:
    """How requests for a workspace are addressed.

    Args:
        override: the region that they must be routed to; empty for anywhere.
        origin: the server's, where ChatGPT names one.
    """

    override: str = ""
    origin: str = ""


def read(body: bytes, account: str) -> Workspace | None:
    """What is told of an account; None where it is not told of.

    Args:
        body: the answer.
        account: its id.

    Raises:
        CredentialUnusable: the workspace was shut.
    """
    entry = next((one for one in _accounts(body) if account and account in (one.get("account_id"), one.get("id"))), None)
    if entry is None:
        return None
    if entry.get("is_deactivated") is True:
        raise CredentialUnusable("ChatGPT says that this workspace was deactivated. Run: codex login, and choose another.")
    override = entry.get("account_routing_override")
    origin = entry.get("workspace_backend_origin")
    return Workspace(
        override if isinstance(override, str) and override.isascii() and override.isprintable() and override != _UNBOUND else "",
        origin.rstrip("/") if isinstance(origin, str) else "",
    )


async def asked(http: aiohttp.ClientSession, url: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
    """The status and the body of the answer.

    Args:
        http: the gateway's session.
        url: where to ask.
        headers: with the login.

    Raises:
        aiohttp.ClientError: it cannot be asked.
    """
    async with http.get(url, headers=headers, allow_redirects=False) as response:
        body = b""
        while len(body) < _LIMIT and (piece := await response.content.read(_LIMIT - len(body))):
            body += piece
        return response.status, body


def _accounts(body: bytes) -> list[Mapping[str, Any]]:
    try:
        tree = jsons.loads(body)
    except jsons.JsonError:
        return []
    told = tree.get("accounts") if isinstance(tree, dict) else None
    return [one for one in told if isinstance(one, dict)] if isinstance(told, list) else []
