from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from llmgw_logins import CommandFailed, ask, found
from tests.toys import until


async def test_what_it_prints() -> None:
    """Its standard output; what it was given, it got."""
    words = [sys.executable, "-c", "import sys; print(sys.stdin.read().upper(), end='')"]
    assert b"HELLO" == await ask(words, env={}, given=b"hello")


async def test_its_environment() -> None:
    """It sees what it is given, and nothing else of ours."""
    words = [sys.executable, "-c", "import os; print(os.environ.get('A'), os.environ.get('HOME'))"]
    assert b"1 None\n" == await ask(words, env={"A": "1"})


async def test_no_shell_sees_it() -> None:
    """A word is a word."""
    words = [sys.executable, "-c", "import sys; print(sys.argv[1])", "$(id); `id`"]
    assert b"$(id); `id`\n" == await ask(words, env={})


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["/nowhere/acme", "token"], "'acme' cannot be run: No such file or directory"),
        ([sys.executable, "-c", "import sys; sys.stderr.write('SECRET'); sys.exit(3)"], "ended with the code 3"),
        ([sys.executable, "-c", "input()"], "ended with the code 1"),
    ],
)
async def test_a_command_that_fails(words: list[str], said: str) -> None:
    """It is told how, but not what it wrote, which may be what nobody should see."""
    with pytest.raises(CommandFailed) as raised:
        await ask(words, env={})
    assert said in str(raised.value) and "SECRET" not in str(raised.value)


async def test_a_command_that_hangs() -> None:
    """It is killed."""
    with pytest.raises(CommandFailed, match=r"no answer within 0\.2 s"):
        await ask([sys.executable, "-c", "import time; time.sleep(600)"], env={}, patience=0.2)


def test_where_it_is(tmp_path: Path) -> None:
    """By the search path of the deployment's environment, not of this process."""
    command = tmp_path / "acme"
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    assert str(command) == found("acme", {"PATH": str(tmp_path)})
    assert found("acme", {}) is None and found("sh", {"PATH": ""}) is None


def runs(number: Path) -> bool:
    """Whether the process whose number stands there is alive; one that nobody has buried is not."""
    about = Path(f"/proc/{number.read_text().strip()}/stat")
    return about.exists() and ") Z " not in about.read_text()


async def test_what_it_has_started_is_killed_too(tmp_path: Path) -> None:
    """A child that keeps the output open is not waited for, and does not go on."""
    child = tmp_path / "child"
    words = ["/bin/sh", "-c", f"sleep 600 & echo $! > {child}; wait"]
    with pytest.raises(CommandFailed):
        await ask(words, env={"PATH": os.environ["PATH"]}, patience=0.5)
    assert not runs(child)


async def test_a_command_that_nobody_waits_for_any_more(tmp_path: Path) -> None:
    """It is killed as well."""
    mark = tmp_path / "begun"
    task = asyncio.ensure_future(ask(["/bin/sh", "-c", f"echo $$ > {mark}.new; mv {mark}.new {mark}; exec sleep 600"], env={}))
    await until(mark.exists)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not runs(mark)


async def test_a_command_that_reads_nothing() -> None:
    """What it was given is lost, and what it prints is not."""
    assert b"hello\n" == await ask(["/bin/echo", "hello"], env={}, given=b"x" * 1_000_000)
