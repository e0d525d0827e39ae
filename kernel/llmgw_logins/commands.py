"""Vendors' own commands, which know best how to keep their logins fresh."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress


class CommandFailed(Exception):
    """The command did not give what it was asked for; the message may be shown."""


def found(name: str, env: Mapping[str, str]) -> str | None:
    """Where a command is, by the search path of the environment; None where there is none."""
    return shutil.which(name, path=env.get("PATH", ""))


async def ask(words: Sequence[str], *, env: Mapping[str, str], given: bytes = b"", patience: float = 30.0) -> bytes:
    """What a command prints.

    Args:
        words: the command; no shell sees it.
        env: its environment.
        given: to its standard input, which is then closed.
        patience: seconds, after which it is killed.

    Raises:
        CommandFailed: it cannot be run, is too slow, or ends with another code than 0.
    """
    name = words[0].rpartition("/")[2]
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(
            *words, stdin=pipe, stdout=pipe, stderr=pipe, env=dict(env), start_new_session=True
        )
    except OSError as error:
        raise CommandFailed(f"'{name}' cannot be run: {error.strerror}") from None
    try:
        async with asyncio.timeout(patience):
            printed, _ = await process.communicate(given)
    except TimeoutError:
        raise CommandFailed(f"'{name}' gave no answer within {patience:g} s") from None
    finally:
        if process.returncode is None:
            _killed(process)
            await process.wait()
    if process.returncode:  # what it says on standard error may hold what nobody should see
        raise CommandFailed(f"'{name}' ended with the code {process.returncode}")
    return printed


def _killed(process: asyncio.subprocess.Process) -> None:
    """End it and whatever it has started: a child that keeps its output open would be waited for."""
    with suppress(ProcessLookupError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:  # Windows
            process.kill()
