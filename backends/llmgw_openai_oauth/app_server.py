"""Codex's own server for editors, asked to refresh its login: JSON, a line each way (``codex app-server``, experimental)."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from llmgw import jsons
from llmgw.version import VERSION
from llmgw_logins import CommandFailed

PATIENCE: Final = 30.0
"""Seconds for all of it; it was seen to take half a second."""
_LONGEST: Final = 2**20
"""Bytes of a line."""
_CLIENT: Final = {"name": "llmgw", "title": "llmgw", "version": VERSION}


async def refreshed(command: str, env: Mapping[str, str], patience: float = PATIENCE) -> None:
    """Make Codex refresh its login and write its file.

    Args:
        command: where Codex is.
        env: its environment.
        patience: seconds, after which it is killed.

    Raises:
        CommandFailed: it did not.
    """
    try:
        async with asyncio.timeout(patience), _running(command, env) as process:
            await _answer(process, {"id": 1, "method": "initialize", "params": {"clientInfo": _CLIENT}})
            _say(process, {"method": "initialized"})
            told = await _answer(process, {"id": 2, "method": "account/read", "params": {"refreshToken": True}})
    except TimeoutError:
        raise CommandFailed(f"'codex app-server' gave no answer within {patience:g} s") from None
    account = told.get("account")
    if not isinstance(account, dict) or account.get("type") not in ("chatgpt", "chatgptAuthTokens"):
        raise CommandFailed("Codex says that nobody is logged in with ChatGPT")


@asynccontextmanager
async def _running(command: str, env: Mapping[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    """The server, which ends when nobody speaks to it any more."""
    pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    try:
        process = await asyncio.create_subprocess_exec(
            command, "app-server", stdin=pipe, stdout=pipe, stderr=null, env=dict(env), limit=_LONGEST, start_new_session=True
        )
    except OSError as error:
        raise CommandFailed(f"'codex' cannot be run: {error.strerror}") from None
    try:
        yield process
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                _kill(process)
            await process.wait()


def _kill(process: asyncio.subprocess.Process) -> None:
    """End it and whatever it has started."""
    if hasattr(os, "killpg"):
        os.killpg(process.pid, signal.SIGKILL)
    else:  # Windows
        process.kill()


def _say(process: asyncio.subprocess.Process, message: Mapping[str, Any]) -> None:
    assert process.stdin is not None
    process.stdin.write(jsons.dumps(message) + b"\n")


async def _answer(process: asyncio.subprocess.Process, question: Mapping[str, Any]) -> Mapping[str, Any]:
    """Its answer to a question; what else it tells meanwhile is not for us."""
    assert process.stdin is not None
    assert process.stdout is not None
    _say(process, question)
    try:
        await process.stdin.drain()
        while line := await process.stdout.readline():
            told = _object(line)
            if told.get("id") == question["id"] and "method" not in told:
                return _result(told)
    except (ConnectionError, ValueError):  # it has closed; a line that is too long
        pass
    raise CommandFailed("'codex app-server' ended without an answer")


def _result(told: Mapping[str, Any]) -> Mapping[str, Any]:
    """The result of an answer; what an error says may hold what nobody should see."""
    result = told.get("result")
    if not isinstance(result, dict):
        error = told.get("error")
        code = error.get("code") if isinstance(error, dict) else None
        raise CommandFailed(f"'codex app-server' refused, with the code {code if isinstance(code, int) else 'unknown'}")
    return result


def _object(line: bytes) -> Mapping[str, Any]:
    try:
        told = jsons.loads(line)
    except jsons.JsonError:
        return {}
    return told if isinstance(told, dict) else {}
