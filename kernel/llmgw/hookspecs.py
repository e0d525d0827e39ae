"""The hooks a plugin may implement, in the order of a gateway's life and of an exchange's.

Rules for all: a hook is a plain function, never ``async def``, and hands over objects (``llmgw.stages``) that do the work; it is
called when the gateway starts or once for each exchange, never for each event. Results come in the order of the
configuration; ``tryfirst``, ``trylast`` and wrappers are refused by the loader, since the YAML is the only order. Every
argument named must be taken without a default (pluggy does not pass those that have one).

A plugin is an attrs class whose fields are its options::

    from attrs import define
    from llmgw import Exchange, Filter, hookimpl

    @define(eq=False)
    class Polite:
        \"\"\"Says please.\"\"\"

        word: str = "please"

        @hookimpl
        def open_filter(self, exchange: Exchange) -> Filter | None:
            return PleaseFilter(self.word)
"""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from aiohttp.web import AbstractRouteDef

    from llmgw.exchange import Exchange
    from llmgw.gateway import Gateway
    from llmgw.model import Request
    from llmgw.stages import (
        Backend,
        Command,
        Endpoint,
        Filter,
        Guard,
        Observer,
        Principal,
        Report,
        Route,
    )
    from llmgw.store import StateStore

hookspec = pluggy.HookspecMarker("llmgw")
hookimpl = pluggy.HookimplMarker("llmgw")

# ---- once, when the gateway starts --------------------------------------------------------------


@hookspec
def add_cli(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add a verb to the ``llmgw`` command line, as ``llmgw usage`` does.

    Called for every plugin that the configuration names, without starting it. The verb sets ``run`` as a default: a function
    that takes the parsed arguments and returns the exit code.

    Args:
        subparsers: what ``argparse.ArgumentParser.add_subparsers`` gave.
    """


@hookspec(firstresult=True)
def state_store(gateway: Gateway) -> StateStore | None:
    """Return where counters, cooldowns and sessions are kept; the first plugin that answers is it.

    None leaves it to the next plugin; when none answers, the store is this process's memory.

    Args:
        gateway: the one that starts.
    """


@hookspec
def lifespan(gateway: Gateway) -> AbstractAsyncContextManager[None] | None:
    """Return what you hold open while the gateway serves: a connection, a writer task.

    Entered in the order of the configuration, left in reverse, also when starting fails half-way. None holds nothing.

    Args:
        gateway: the one that starts; ``gateway.http`` and ``gateway.state`` are ready.
    """


@hookspec
def extra_routes(gateway: Gateway) -> Iterable[AbstractRouteDef] | None:
    """Return aiohttp routes beside the pipeline: model lists, metrics, an inspector's page.

    They stand behind the same authentication as everything but ``/health``. None adds nothing.

    Args:
        gateway: the one that starts.
    """


@hookspec
def frontend_endpoints(gateway: Gateway) -> Iterable[Endpoint] | None:
    """FRONT-END STAGE. Return the paths you serve, each with the dialect spoken there.

    The kernel reads the body, asks the dialect for a Request, and writes what its writer makes of each event. A front-end
    never sees a socket. None serves nothing.

    Args:
        gateway: the one that starts.
    """


@hookspec
def chat_commands(gateway: Gateway) -> Iterable[Command] | None:
    """COMMAND STAGE. Return the words that a user may write in a chat, as ``!/model(gpt-5)``.

    A command changes the exchange or its session and answers a line of text. The kernel strips it from the message; when
    nothing else is left, the line is the reply and no back-end is called. Two plugins with the same word are a configuration
    error. None adds none.

    Args:
        gateway: the one that starts.
    """


@hookspec
def backends(gateway: Gateway) -> Iterable[Backend] | None:
    """BACK-END STAGE. Return the providers you can reach, each under a name unique in the deployment.

    Most are an ``HttpBackend``: a dialect, a URL and headers. One that does not speak HTTP implements ``stream(exchange,
    target, request)`` as an async generator of events. Two of one name are a configuration error. None adds none.

    Args:
        gateway: the one that starts.
    """


# ---- when somebody asks ------------------------------------------------------------------------


@hookspec
def status(gateway: Gateway) -> Awaitable[Report] | None:
    """Return what there is to tell of your part now, for ``llmgw status`` and ``/health?verbose``. None has nothing to tell.

    Args:
        gateway: the one that is asked.
    """


# ---- once for each exchange, in this order ------------------------------------------------------


@hookspec
def open_observer(exchange: Exchange) -> Observer | None:
    """Return an observer of this exchange, or None. It sees bytes and events and changes nothing.

    Args:
        exchange: just begun; nothing of it is read yet.
    """


@hookspec(firstresult=True)
def authenticate(exchange: Exchange) -> Awaitable[Principal] | None:
    """Say who is calling, or raise Unauthorized. None leaves it to the next plugin.

    When plugins implement this hook and all return None, the request is refused; when none implements it, everyone is let in
    and the server binds to 127.0.0.1 only.

    Args:
        exchange: its ``head`` is known, its body not yet read.
    """


@hookspec(firstresult=True)
def session_key(exchange: Exchange, request: Request) -> str | None:
    """Name the conversation that this request continues, so that commands and counters outlive it.

    None leaves it to the next plugin; when none answers, the exchange has no session.

    Args:
        exchange: its principal is known.
        request: as the client sent it.
    """


@hookspec
def open_filter(exchange: Exchange) -> Filter | None:
    """FILTER STAGE. Return a filter for this exchange, or None to sit it out.

    Called once, so keep what belongs to one exchange in the filter and what outlives it in ``gateway.state``. ``request()``
    runs in the order of the configuration, ``events()`` wraps in reverse. Not called per chunk: None costs nothing.

    Args:
        exchange: its principal and session are known.
    """


@hookspec
def open_guard(exchange: Exchange) -> Guard | None:
    """ROUTE. Return a guard for the targets of this exchange, or None to sit it out.

    Guards are asked in the order of the configuration, each for what the one before lets through.

    Args:
        exchange: all filters are open, nothing was tried yet.
    """


@hookspec(firstresult=True)
def route(exchange: Exchange, request: Request) -> Route | None:
    """ROUTE. Return an async generator of targets, or None if this model's name is not yours.

    It yields a Target, is sent the failure of that attempt, and yields the next one, returns or raises; the last failure then
    goes to the client. It is closed when an attempt is committed. Whoever knows a name by other names asks for the routes of
    those with ``llmgw.resolve``, which calls this hook again; so no plugin depends on the order of the others. When none
    answers, ``backend:model`` and the default back-end decide.

    Args:
        exchange: all filters are open.
        request: as the filters left it, or as another route asks for it.
    """
