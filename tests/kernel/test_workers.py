from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from llmgw.workers import CannotListen, bind

# ---- binding ------------------------------------------------------------------------------------


def test_a_free_port() -> None:
    """Port 0 takes one that is free; nobody is listened to yet."""
    with bind("127.0.0.1", 0) as sock:
        assert 0 < sock.getsockname()[1]
        with socket.socket() as client, pytest.raises(ConnectionRefusedError):
            client.connect(sock.getsockname())


def test_a_port_that_is_taken() -> None:
    """The message names the address, the reason and what to do; no socket stays open."""
    with bind("127.0.0.1", 0) as sock:
        sock.listen()
        port = sock.getsockname()[1]
        with pytest.raises(CannotListen) as caught:
            bind("127.0.0.1", port)

    assert f"cannot listen on 127.0.0.1:{port}: address already in use. Choose another with --host or --port." == str(
        caught.value
    )


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid", "not a host"])
def test_an_address_that_is_not_ours(host: str) -> None:
    """It cannot be listened on."""
    with pytest.raises(CannotListen, match=f"cannot listen on {host}:80: "):
        bind(host, 80)


def test_ours_may_share_a_port() -> None:
    """Sockets that agree on it bind the same port; one that does not, does not."""
    with bind("127.0.0.1", 0, shared=True) as one:
        port = one.getsockname()[1]
        with bind("127.0.0.1", port, shared=True):
            one.listen()
        with pytest.raises(CannotListen):
            bind("127.0.0.1", port)


# ---- the supervisor -----------------------------------------------------------------------------

SCRIPT = """
import os, signal, sys, time
from pathlib import Path
from llmgw import workers
from llmgw.workers import Supervisor

folder = Path(sys.argv[1])
workers.QUICK_DEATH = float(sys.argv[2])

def note(number, word):
    with (folder / "log").open("a") as file:
        file.write(f"{number} {word} {os.getpid()}\\n")

def work(number):
    note(number, "start")
    {body}

print(Supervisor({count}, work).run())
"""

WAIT = """signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGHUP, lambda *_: note(number, "hup"))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})  # as a server does once it serves
    note(number, "ready")
    while True: signal.pause()"""


class Supervised:
    """A supervisor in a process of its own, which forks and takes signals as ours must not."""

    def __init__(self, folder: Path, count: int, body: str, quick: float = 0.0) -> None:
        self.log = folder / "log"
        self.log.touch()
        script = SCRIPT.replace("{body}", body).replace("{count}", str(count))
        self.process = subprocess.Popen(
            [sys.executable, "-c", script, str(folder), str(quick)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def lines(self, word: str) -> list[tuple[str, int]]:
        """Which workers noted this word: number and pid."""
        rows = [line.split() for line in self.log.read_text().splitlines()]
        return [(number, int(pid)) for number, what, pid in rows if what == word]

    def until(self, condition: Callable[[], Any]) -> None:
        """Wait until it is so."""
        end = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.01)

    def ended(self) -> str:
        """What it printed as its exit code."""
        out, _ = self.process.communicate(timeout=20)
        return out.strip()


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Callable[..., Supervised]]:
    """Starts supervisors, and ends those that have not ended."""
    started: list[Supervised] = []

    def start(*args: Any, **kwargs: Any) -> Supervised:
        started.append(Supervised(tmp_path, *args, **kwargs))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            for _, pid in one.lines("start"):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            one.process.kill()
        one.process.wait()
        if one.process.stdout is not None:
            one.process.stdout.close()


def test_an_ordered_stop(supervised: Callable[..., Supervised]) -> None:
    """All workers are started, each with its number; SIGTERM reaches all of them, and the exit code is 0."""
    one = supervised(3, WAIT)
    one.until(lambda: len(one.lines("ready")) == 3)
    one.process.terminate()

    assert ["0", "1", "2"] == sorted(number for number, _ in one.lines("start"))
    assert "0" == one.ended()


def test_a_dead_worker_is_replaced(supervised: Callable[..., Supervised]) -> None:
    """By one of the same number."""
    one = supervised(2, WAIT)
    one.until(lambda: len(one.lines("ready")) == 2)
    [victim] = [pid for number, pid in one.lines("start") if number == "1"]
    os.kill(victim, signal.SIGKILL)
    one.until(lambda: len(one.lines("ready")) == 3)
    one.process.terminate()

    assert "1" == one.lines("start")[-1][0]
    assert "0" == one.ended()


def test_one_that_also_ends_well_is_replaced(supervised: Callable[..., Supervised]) -> None:
    """A worker ends when it is told to, and not before."""
    one = supervised(1, "return 0")
    one.until(lambda: len(one.lines("start")) >= 3)
    one.process.terminate()

    assert "0" == one.ended()


def test_sighup_reaches_all(supervised: Callable[..., Supervised]) -> None:
    """Each reads its configuration anew."""
    one = supervised(2, WAIT)
    one.until(lambda: len(one.lines("ready")) == 2)
    one.process.send_signal(signal.SIGHUP)
    one.until(lambda: len(one.lines("hup")) == 2)
    one.process.terminate()

    assert "0" == one.ended()


def test_workers_that_cannot_start(supervised: Callable[..., Supervised]) -> None:
    """When workers end as soon as they start, again and again, it gives up, with exit code 1."""
    one = supervised(2, "return 3", quick=0.4)

    assert "1" == one.ended()
    assert 6 <= len(one.lines("start")) <= 7


def test_a_bad_start_is_forgiven(supervised: Callable[..., Supervised]) -> None:
    """A worker that died once at its start and then lived does not make an ordered stop a failure."""
    one = supervised(1, f"if len((folder / 'log').read_text().splitlines()) == 1: return 1\n    {WAIT}", quick=0.05)
    one.until(lambda: one.lines("ready"))
    one.process.terminate()

    assert "0" == one.ended()


def test_what_a_worker_raises_is_its_end(supervised: Callable[..., Supervised]) -> None:
    """It does not run on as a second supervisor."""
    one = supervised(1, "raise ZeroDivisionError", quick=0.02)

    assert "1" == one.ended()
