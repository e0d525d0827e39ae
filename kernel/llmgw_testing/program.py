"""``llmgw serve`` as a program of its own, as users run it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from attrs import define

_KEPT = ("PATH", "HOME", "LANG", "PYTHONPATH", "VIRTUAL_ENV", "COVERAGE_PROCESS_START")


@define(eq=False)
class Program:
    """A running ``llmgw serve``.

    Args:
        process: its process.
        url: where it listens.
        banner: what it said when it started.
        log: the file that takes what it says on stderr.
    """

    process: subprocess.Popen[str]
    url: str
    banner: str
    log: Path

    @classmethod
    @contextmanager
    def serve(
        cls,
        *options: str,
        env: Mapping[str, str] | None = None,
        log: Path,
        command: Sequence[str] = (sys.executable, "-m", "llmgw.cli"),
    ) -> Iterator[Program]:
        """Run it on a free port while the context lasts.

        Args:
            options: of ``llmgw serve``.
            env: added to the little of our own environment that a program needs.
            log: a file for its stderr.
            command: how it is called.
        """
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        with log.open("w") as stderr:
            process = subprocess.Popen(
                [*command, "serve", "--port", "0", *options],
                env=kept | dict(env or {}),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                start_new_session=True,  # so that a test can signal it and its workers as a group
            )
        try:
            assert process.stdout is not None
            banner = _banner(process.stdout)
            found = re.search(r"listens on (http://\S+)", banner)
            if found is None:
                process.wait(10)
                raise RuntimeError(f"llmgw serve ended with {process.returncode}:\n{log.read_text()}")
            yield cls(process, found[1], banner, log)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()
            if process.stdout is not None:
                process.stdout.close()

    def get(self, path: str) -> tuple[int, Any]:
        """The status and the JSON, or text, of a GET."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=10) as response:
                return response.status, _read(response.read())
        except urllib.error.HTTPError as error:
            return error.code, _read(error.read())

    def stop(self, number: int = signal.SIGTERM, patience: float = 40.0) -> int:
        """Signal it, and wait for its end; the exit code."""
        self.process.send_signal(number)
        return self.process.wait(patience)


def _banner(stdout: IO[str]) -> str:
    lines = []
    for line in stdout:
        lines.append(line)
        if line.lstrip().startswith("try "):
            break
    return "".join(lines)


def _read(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return data.decode(errors="replace")
