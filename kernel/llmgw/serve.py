"""``llmgw serve``: decides where to listen, and runs one process or several."""

from __future__ import annotations

import argparse
import asyncio
import gc
import ipaddress
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

from attrs import evolve, frozen

from llmgw import config as configuration
from llmgw import logs
from llmgw.banner import banner
from llmgw.config import Config
from llmgw.errors import ConfigError
from llmgw.gateway import Gateway
from llmgw.server import Server
from llmgw.workers import CannotListen, Supervisor, bind

log = logging.getLogger("llmgw")

Sockets = dict[int | None, socket.socket]
"""By the port that endpoints name; None is the gateway's own."""


@frozen
class Listening:
    """Where to listen, and what to say about it."""

    host: str
    port: int
    notes: tuple[str, ...] = ()


def run(args: argparse.Namespace) -> int:
    """Serve as the command line says.

    Returns:
        The exit code.

    Raises:
        ConfigError: before anything is opened.
    """
    logs.configure(args.log_level, args.log_format)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # by default it would end us
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})  # it waits until we serve
    try:
        return _started(args)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _started(args: argparse.Namespace) -> int:
    load = partial(
        configuration.load,
        args.config,
        os.environ,
        host=args.host,
        port=args.port,
        default_backend=args.default_backend,
        disable_auth=args.disable_auth,
        grace=args.grace,
        options={option: value for option, value in vars(args).items() if "." in option and value is not None},
    )
    if args.workers < 1:
        raise ConfigError(f"there must be at least one worker, found {args.workers} @ --workers")
    factory = _loop(args.loop)
    gateway = Gateway.build(load())
    listening = where(gateway, args.i_know_this_is_open)
    for name, backend in gateway.backends.items():
        for problem in backend.problems():
            log.warning("%s @ backends.%s", problem, name)
        for notice in backend.notices:
            log.warning("%s @ backends.%s", notice, name)
    for note in listening.notes:
        log.warning(note)
    try:
        admit = partial(_admit, listening.host, args.i_know_this_is_open)
        return _run(load, gateway, listening, factory, args.workers, admit)
    except CannotListen as error:
        print(f"llmgw: {error}", file=sys.stderr)
        return 1


def where(gateway: Gateway, open_to_all: bool = False) -> Listening:
    """Where to listen: without authentication nowhere but on this machine.

    Args:
        gateway: built.
        open_to_all: somebody said that they know.
    """
    proxy, auth = gateway.config.proxy, gateway.config.auth
    if (bound := _bound_to_this_machine(gateway)) and not _is_loopback(proxy.host):
        note = f"the terms of '{bound}' allow its login to nobody but you, so 127.0.0.1 is served instead of {proxy.host}"
        return Listening("127.0.0.1", proxy.port, (note,))
    if gateway.authenticates or _is_loopback(proxy.host) or (open_to_all and not auth.disable_auth):
        return Listening(proxy.host, proxy.port)
    if auth.disable_auth:
        note = f"authentication is disabled, so 127.0.0.1 is served instead of {proxy.host}"
    else:
        why = "".join(f" ({item.id}: {reason})" for item, reason in gateway.idle)
        note = f"nobody is asked for a key{why}, so 127.0.0.1 is served instead of {proxy.host}; or say --i-know-this-is-open"
    return Listening("127.0.0.1", proxy.port, (note,))


def _admit(host: str, open_to_all: bool, gateway: Gateway) -> None:
    """Refuse a gateway that asks for no key where others than this machine are served: a reload must not open it."""
    if (bound := _bound_to_this_machine(gateway)) and not _is_loopback(host):
        raise ConfigError(f"with '{bound}' only 127.0.0.1 may be served, and this process listens on {host} @ backends.{bound}")
    open_to_all = open_to_all and not gateway.config.auth.disable_auth
    if not (gateway.authenticates or open_to_all or _is_loopback(host)):
        raise ConfigError(f"without a key only 127.0.0.1 may be served, and this process listens on {host}")


def _bound_to_this_machine(gateway: Gateway) -> str | None:
    """A back-end whose vendor allows its login to one person alone."""
    return next((name for name, backend in gateway.backends.items() if backend.loopback_only), None)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _loop(name: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    if name == "asyncio":
        return None
    try:
        import uvloop
    except ImportError:
        raise ConfigError("uvloop is not installed: pip install 'llmgw[speed]' @ --loop") from None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def _run(
    load: Callable[[], Config],
    gateway: Gateway,
    listening: Listening,
    factory: Callable[[], asyncio.AbstractEventLoop] | None,
    workers: int,
    admit: Callable[[Gateway], None],
) -> int:
    if workers == 1:
        return _process(load, gateway, _bound(gateway, listening), listening, factory, admit)
    # Bound and never listened on: they keep the ports ours while workers come and go, and find a free one where 0 was asked for.
    holders = _bound(gateway, listening, shared=True)
    ports = {name: holder.getsockname()[1] for name, holder in holders.items()}

    def work(number: int) -> int:
        for holder in holders.values():
            holder.close()
        sockets = {name: bind(listening.host, port, shared=True) for name, port in ports.items()}
        announced = evolve(listening, port=ports[None]) if number == 0 else None
        made = Gateway.build(load())
        admit(made)
        return _process(load, made, sockets, announced, factory, admit)

    return Supervisor(workers, work).run()


def _bound(gateway: Gateway, listening: Listening, *, shared: bool = False) -> Sockets:
    """The gateway's own socket, and those that front-ends want for themselves.

    Raises:
        ConfigError: a front-end wants the gateway's own.
        CannotListen: one is taken.
    """
    wanted: dict[int | None, int] = {None: listening.port} | {port: port for port in gateway.ports}
    if listening.port and listening.port in gateway.ports:
        raise ConfigError(f"a front-end wants port {listening.port} for itself, which is the gateway's own @ proxy.port")
    with ExitStack() as stack:
        sockets = {name: stack.enter_context(bind(listening.host, port, shared=shared)) for name, port in wanted.items()}
        stack.pop_all()  # they are the caller's now
        return sockets


def _process(
    load: Callable[[], Config],
    gateway: Gateway,
    sockets: Sockets,
    announced: Listening | None,
    factory: Callable[[], asyncio.AbstractEventLoop] | None,
    admit: Callable[[Gateway], None],
) -> int:
    def announce(running: Gateway, address: str) -> None:
        _settle()
        if announced is not None:
            ports = {name: sock.getsockname()[1] for name, sock in sockets.items() if name is not None}
            print(banner(running, address, list(announced.notes), ports), flush=True)

    doors = {name: sock for name, sock in sockets.items() if name is not None}
    failed = False
    try:
        with ExitStack() as stack, asyncio.Runner(loop_factory=factory) as runner:
            for sock in sockets.values():
                stack.enter_context(sock)
            runner.run(Server(load, admit=admit, announce=announce).serve(gateway, sockets[None], doors))
    except* Exception:  # a plugin's lifespan may raise anything
        log.exception("the gateway could not serve")
        failed = True
    return 1 if failed else 0


def _settle() -> None:
    """Two things that cost a long-lived process much, and that one line each ends.

    What the start left behind is never garbage: the collector need not walk it again and again. And asyncio reads into fresh
    buffers of 256 KB, which glibc gets from the system and gives back each time, three system calls a read; once it has seen
    a larger block freed, it keeps them (mallopt(3), "dynamic mmap threshold").
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)
    bytes(2**20)
