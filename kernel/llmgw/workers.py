"""Several processes on one port: forked, supervised, replaced when they die.

Each binds the port itself with SO_REUSEPORT, and the system spreads connections over them. The supervisor serves nothing:
it starts workers, passes signals on, and waits.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from types import FrameType

from attrs import define, field

from llmgw.errors import ConfigError

log = logging.getLogger("llmgw")

QUICK_DEATH = 1.0
"""A worker that lived for less than these seconds died of its start; replacing such ones is slowed down."""


LONGEST_WAIT = 30.0
"""Seconds before another try to replace a worker that does not start while the others serve."""

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class CannotListen(Exception):
    """The address is not this machine's, or somebody else listens there."""


def bind(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A bound TCP socket, not yet listening.

    Args:
        host: a name or an address.
        port: 0 takes a free one.
        shared: let other sockets of ours bind the same port (SO_REUSEPORT).

    Raises:
        CannotListen: the address is not ours, or taken.
    """
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with ExitStack() as stack:
            sock = stack.enter_context(socket.socket(family, kind, proto))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if shared:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind(address)
            stack.pop_all()  # it is the caller's now
            return sock
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise CannotListen(f"cannot listen on {host}:{port}: {why}. Choose another with --host or --port.") from None


@define(eq=False)
class Supervisor:
    """Keeps ``count`` workers alive until told to stop.

    Args:
        count: of processes.
        work: what a worker does; gets its number, and the process ends with the exit code it returns.
    """

    count: int
    work: Callable[[int], int]
    _workers: dict[int, tuple[int, float]] = field(factory=dict)
    _stopping: bool = False
    _failed: int = 0
    _gave_up: bool = False

    def run(self) -> int:
        """Start the workers and wait for their end.

        Returns:
            The exit code: 0 after an ordered stop, 1 when workers cannot start.
        """
        for one in (signal.SIGTERM, signal.SIGINT):
            signal.signal(one, self._stop)
        signal.signal(signal.SIGHUP, self._pass_on)
        for number in range(self.count):
            self._start(number)
        while self._workers:
            pid, status = os.wait()
            if pid in self._workers:
                self._ended(pid, os.waitstatus_to_exitcode(status))
        return 1 if self._gave_up else 0

    def _start(self, number: int, after: float = 0.0) -> None:
        """Fork a worker, which begins after so many seconds: were we to wait for them, the others would look long-lived."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)  # a signal between fork and here would hit the wrong handler
        pid = os.fork()
        if pid:
            self._workers[pid] = number, time.monotonic() + after
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            return
        for one in (signal.SIGTERM, signal.SIGINT):
            signal.signal(one, signal.SIG_DFL)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        # SIGHUP waits until the worker serves, for it may come when the configuration has been read already
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT})
        code = 1
        try:
            _end_with_parent()
            time.sleep(after)
            code = self.work(number)
        except ConfigError as error:
            log.error("worker %d cannot start: %s", number, "; ".join(error.problems))
        except Exception:  # whatever a plugin raises: nobody above us would say it
            log.exception("worker %d cannot start", number)
        finally:
            logging.shutdown()
            os._exit(code)  # not sys.exit: what the supervisor opened is the supervisor's to close

    def _ended(self, pid: int, code: int) -> None:
        number, since = self._workers.pop(pid)
        if self._stopping:
            return
        log.warning("worker %d (pid %d) ended with %d and is replaced", number, pid, code)
        now = time.monotonic()
        if now - since >= QUICK_DEATH:
            self._failed = 0
            self._start(number)
            return
        self._failed += 1
        others_live = any(now - begun >= QUICK_DEATH for _, begun in self._workers.values())
        if self._failed >= 3 * self.count and not others_live:
            log.error("workers end as soon as they start; giving up")
            self._gave_up = True
            self._stop(signal.SIGTERM, None)
        else:
            self._start(number, min(QUICK_DEATH * 2 ** (self._failed // self.count), LONGEST_WAIT))

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True
        self._pass_on(signal.SIGTERM, frame)

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        for pid in tuple(self._workers):
            with suppress(ProcessLookupError):  # it has just died, and os.wait will tell
                os.kill(pid, number)


def _end_with_parent() -> None:
    """Be told to stop when the supervisor is gone: nobody else would, and the port would stay ours (prctl(2))."""
    if sys.platform == "linux":
        import ctypes

        parent_death_signal = 1
        ctypes.CDLL(None).prctl(parent_death_signal, signal.SIGTERM)
