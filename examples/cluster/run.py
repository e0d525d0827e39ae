"""A cluster on one machine: several ``llmgw serve`` behind nginx, with one Redis.

::

    python examples/cluster/run.py --config examples/cluster/llmgw.yaml

Ctrl-C stops everything, SIGHUP restarts the instances one after the other. All files are in a temporary folder that is gone
afterwards. It is for trying things out: a deployment leaves starting and restarting to systemd or Kubernetes.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue

from attrs import define, field

HERE = Path(__file__).resolve().parent
PATIENCE = 30.0
"""Seconds for a program to start."""
FAIL_TIMEOUT = 1.0
"""Seconds for which nginx leaves an instance alone that refused a connection."""
LLMGW = (sys.executable, "-m", "llmgw.cli")


class DidNotStart(Exception):
    """A program ended, or did not answer in time; the message has the end of its log."""


@define(eq=False)
class Program:
    """A program of the cluster, in a process group of its own.

    Args:
        name: for messages and its log.
        command: how it is called.
        ready: whether it answers.
        folder: where its log is.
        env: its environment.
    """

    name: str
    command: Sequence[str]
    ready: Callable[[], bool]
    folder: Path
    env: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """What it said."""
        return self.folder / f"{self.name}.log"

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start it; ``wait`` tells when it answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def wait(self) -> None:
        """Wait until it answers.

        Raises:
            DidNotStart: it does not.
        """
        end = time.monotonic() + PATIENCE
        while not self.ready():
            if not self.alive or time.monotonic() > end:
                raise DidNotStart(f"{self.name} did not start:\n{self.log.read_text()[-4000:]}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Tell it to stop, and wait until it has, however long it takes to finish what it does."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait()

    def kill(self) -> None:
        """End it and its children at once, as a machine that fails does."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@define(eq=False)
class Cluster:
    """Redis, the instances and nginx.

    Args:
        url: where nginx listens.
        instances: the ``llmgw serve``.
        urls: where each of them listens.
        others: Redis and nginx.
    """

    url: str
    instances: list[Program]
    urls: list[str]
    others: list[Program] = field(factory=list)

    def restart(self, number: int) -> None:
        """Let one instance finish what it does, start it again, and wait until nginx asks it again: the next one may go."""
        instance = self.instances[number]
        instance.stop()
        instance.start()
        instance.wait()
        time.sleep(FAIL_TIMEOUT)

    def mend(self) -> list[str]:
        """Start again what has died; the names."""
        dead = [one for one in (*self.others, *self.instances) if not one.alive]
        for one in dead:
            one.start()
        for one in dead:
            one.wait()
        return [one.name for one in dead]


@contextmanager
def cluster(
    config: Path, *, port: int = 0, instances: int = 3, workers: int = 2, env: Mapping[str, str] | None = None
) -> Iterator[Cluster]:
    """Run a cluster while the context lasts.

    Args:
        config: the YAML of every instance; ``${LLMGW_REDIS_URL}`` in it is the Redis.
        port: of nginx; 0 takes a free one.
        instances: how many.
        workers: processes of each.
        env: the environment of the instances; None is our own.

    Raises:
        DidNotStart: one of the programs.
    """
    with tempfile.TemporaryDirectory(prefix="llmgw-cluster-") as name, ExitStack() as stack:
        folder = Path(name)
        port, redis_port, *ports = _ports(port, 1 + instances)
        told = {**(os.environ if env is None else env), "LLMGW_REDIS_URL": f"redis://127.0.0.1:{redis_port}/0"}
        redis = Program("redis", _redis(redis_port, folder), partial(_listens, redis_port), folder, os.environ)
        gateways = [_gateway(number, config, one, workers, folder, told) for number, one in enumerate(ports, 1)]
        nginx = Program("nginx", _nginx(port, ports, folder), partial(_listens, port), folder, os.environ)
        programs = [redis, *gateways, nginx]
        for one in programs:
            stack.callback(one.kill)
            one.start()
        for one in programs:
            one.wait()
        yield Cluster(_url(port), gateways, [_url(one) for one in ports], [redis, nginx])
        for one in reversed(programs):  # who is asked goes after those who ask
            one.stop()


def _gateway(number: int, config: Path, port: int, workers: int, folder: Path, env: Mapping[str, str]) -> Program:
    command = [*LLMGW, "serve", "--config", str(config), "--port", str(port), "--workers", str(workers)]
    return Program(f"llmgw-{number}", command, partial(_healthy, port), folder, env)


def _ports(first: int, further: int) -> list[int]:
    """A port that is wanted, or 0 for any, and so many free ones."""
    with ExitStack() as stack:
        try:
            found = [stack.enter_context(socket.create_server(("127.0.0.1", one))) for one in (first, *[0] * further)]
        except OSError as error:
            raise DidNotStart(f"port {first} cannot be had ({error.strerror}): choose another with --port") from None
        return [one.getsockname()[1] for one in found]


def _redis(port: int, folder: Path) -> list[str]:
    """Redis in memory only: what it holds, counters and cooldowns, is of no use after a restart."""
    options = {"bind": "127.0.0.1", "port": str(port), "dir": str(folder), "save": "", "appendonly": "no"}
    return [_found("redis-server"), *(word for name, value in options.items() for word in (f"--{name}", value))]


def _nginx(port: int, ports: Sequence[int], folder: Path) -> list[str]:
    servers = "\n".join(f"        server 127.0.0.1:{one} max_fails=1 fail_timeout={FAIL_TIMEOUT:g}s;" for one in ports)
    text = (HERE / "nginx.conf").read_text()
    for word, value in (("@FOLDER@", str(folder)), ("@LISTEN@", f"127.0.0.1:{port}"), ("@SERVERS@", servers)):
        text = text.replace(word, value)
    file = folder / "nginx.conf"
    file.write_text(text)
    # as root, nginx would have its workers be nobody, who may not enter our folder
    user = ["-g", "user root;"] if os.geteuid() == 0 else []
    return [_found("nginx"), *user, "-p", str(folder), "-e", str(folder / "nginx.log"), "-c", str(file)]


def _found(program: str) -> str:
    found = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin")
    if found is None:
        raise DidNotStart(f"{program} is not installed: apt-get install {program}")
    return found


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _healthy(port: int) -> bool:
    with suppress(OSError), urllib.request.urlopen(f"{_url(port)}/health", timeout=2) as response:
        return bool(response.status == 200)
    return False


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def main() -> int:
    """Run one until Ctrl-C."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--config", type=Path, default=HERE / "llmgw.yaml", help="of every instance")
    parser.add_argument("--port", type=int, default=8080, help="of nginx; 0 takes a free one (default: 8080)")
    parser.add_argument("--instances", type=int, default=3, help="(default: 3)")
    parser.add_argument("--workers", type=int, default=2, help="processes of each instance (default: 2)")
    args = parser.parse_args()
    signals: SimpleQueue[int] = SimpleQueue()
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, lambda number, frame: signals.put(number))
    try:
        with cluster(args.config, port=args.port, instances=args.instances, workers=args.workers) as running:
            _told(running)
            _until_stopped(running, signals)
    except DidNotStart as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _told(running: Cluster) -> None:
    print(f"the cluster listens on {running.url}; its instances on {', '.join(running.urls)}", flush=True)
    print(f"their logs are in {running.instances[0].folder}", flush=True)
    print(f"Ctrl-C stops everything, kill -HUP {os.getpid()} restarts one instance after the other", flush=True)


def _until_stopped(running: Cluster, signals: SimpleQueue[int]) -> None:
    while True:
        try:
            number = signals.get(timeout=1.0)
        except Empty:
            for name in running.mend():
                print(f"{name} had died and runs again", flush=True)
            continue
        if number != signal.SIGHUP:
            return
        for one in range(len(running.instances)):
            running.restart(one)
            print(f"{running.instances[one].name} runs again", flush=True)


if __name__ == "__main__":
    sys.exit(main())
