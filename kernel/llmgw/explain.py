"""``llmgw explain``: what would become of a request, without asking a provider."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, get_args

from attrs import define, field

from llmgw import chat, jsons
from llmgw.errors import BadRequest, ConfigError, GatewayError, Kind, UpstreamError
from llmgw.events import Reply
from llmgw.exchange import Exchange
from llmgw.gateway import Gateway
from llmgw.model import Request
from llmgw.nearest import did_you_mean
from llmgw.route import next_step, resolve
from llmgw.stages import Clock, Endpoint, Filter, Head, Principal, Race, Route, Target
from llmgw.state import MemoryStore, taking
from llmgw.store import Bucket, StateStore, Taken
from llmgw.transport import HttpBackend

MOST_TARGETS = 100
"""Targets of a route that are told; one that waits and starts again may have more than anybody wants to read."""

_PLACEHOLDER = re.compile(r"\{(\w+)(?::([^{}]+))?\}")


@define(eq=False)
class Explanation:
    """One request, taken through the gateway as far as the provider's door.

    Args:
        gateway: built on a clock of ``unhurried``.
        path: where the client would send it; None takes the first front-end that can read it.
        headers: of the client; names in lower case.
        principal: who would be calling.
        supposed: how each target would fail, so that the next one is seen.
    """

    gateway: Gateway
    path: str | None = None
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    principal: Principal | None = None
    supposed: Kind = "overloaded"

    async def lines(self, body: bytes) -> AsyncIterator[tuple[str, str]]:
        """Word and text, in the order in which an exchange goes.

        Args:
            body: of the request.

        Raises:
            ConfigError: no front-end serves the path.
            GatewayError: the request would be refused; what came before says where.
        """
        async with self.gateway.running():
            self.gateway.state = Overlay(self.gateway.state, self.gateway.clock)
            (endpoint, request, exchange), *others = self._read(body)
            yield "front-end", f"{endpoint.method} {endpoint.path} ({endpoint.dialect.name}), model '{request.model}'"
            if others and self.path is None:
                yield "front-end", f"assumed; {', '.join(one.path for one, _, _ in others)} could read it too: say --path"
            async for line in self._prepared(exchange, request):
                if isinstance(line, tuple):
                    yield line
                else:
                    request = line
            async for line in self._routed(exchange, request):
                yield line

    # ---- front-end, commands, filters

    def _read(self, body: bytes) -> list[tuple[Endpoint, Request, Exchange]]:
        """Each front-end that can read it, with what it read; at least one."""
        refusals: list[GatewayError] = []
        found: list[tuple[Endpoint, Request, Exchange]] = []
        for endpoint in self._endpoints():
            match = self._match(endpoint.path)
            head = Head(endpoint.method, self.path or endpoint.path, match or {}, {}, self.headers, endpoint.operation)
            try:
                request = endpoint.dialect.read_request(head, body)
            except GatewayError as error:
                refusals.append(error)
                continue
            exchange = Exchange(self.gateway, endpoint.dialect, head, started=self.gateway.clock.monotonic())
            exchange.principal, exchange.asked = self.principal, request.model
            found.append((endpoint, request, exchange))
        if found:
            return found
        raise refusals[0] if refusals else BadRequest("There is no front-end.")

    def _endpoints(self) -> Sequence[Endpoint]:
        asked = [one for one in self.gateway.endpoints if one.operation == "generate"]
        if self.path is None:
            return [one for one in asked if "{" not in one.path]
        found = [one for one in asked if self._match(one.path) is not None]
        if not found:
            paths = ", ".join(dict.fromkeys(one.path for one in asked))
            raise ConfigError(f"no front-end serves {self.path}; there are: {paths or 'none'} @ --path")
        return found

    def _match(self, pattern: str) -> dict[str, str] | None:
        if self.path is None:
            return {}
        wanted, done = "", 0
        for found in _PLACEHOLDER.finditer(pattern):
            wanted += re.escape(pattern[done : found.start()]) + f"(?P<{found[1]}>{found[2] or '[^/]+'})"
            done = found.end()
        match = re.fullmatch(wanted + re.escape(pattern[done:]), self.path)
        return None if match is None else match.groupdict()

    async def _prepared(self, exchange: Exchange, request: Request) -> AsyncIterator[tuple[str, str] | Request]:
        gateway = self.gateway
        if gateway.implements("session_key"):
            exchange.session = gateway.hook.session_key(exchange=exchange, request=request)
        found = chat.found_in(request) if gateway.commands else []
        yield "commands", ", ".join(found) or "none"
        if found:
            outcome = await chat.run(exchange, request)
            if isinstance(outcome, Reply):
                raise BadRequest("Nothing but commands: the gateway itself would answer.")
            request = outcome
        opened = gateway.hook.open_filter(exchange=exchange) if gateway.implements("open_filter") else ()
        filters = [one for one in opened if one is not None]
        if not filters:
            yield "filters", "none"
        for one in filters:
            before, outcome = request, await one.request(request)
            if isinstance(outcome, Reply):
                raise BadRequest(f"The filter '{self._plugin(one)}' would answer itself.")
            request = outcome
            yield "filter", f"{self._plugin(one)}: {_changed(before, request)}"
        for name, value in exchange.headers.items():
            yield "header", f"{name}: {value}"
        yield request

    def _plugin(self, one: Filter) -> str:
        """The id of the plugin that a filter comes from."""
        package = type(one).__module__.partition(".")[0]
        ids = [item.id for item, plugin in self.gateway.plugins if type(plugin).__module__.partition(".")[0] == package]
        return ids[0] if ids else package

    # ---- route and upstream body

    async def _routed(self, exchange: Exchange, request: Request) -> AsyncIterator[tuple[str, str]]:
        first: Target | None = None
        told = 0
        async with aclosing(resolve(exchange, request)) as route:
            async for place, target in self._targets(route, ""):
                for remark in exchange.remarks[told:]:
                    yield "route", remark
                told = len(exchange.remarks)
                if isinstance(target, Target):
                    first = first or target
                    yield "target", f"{place} {target.name}{_details(target)}"
                else:
                    yield "route", f"ends: {target}"
        for remark in exchange.remarks[told:]:
            yield "route", remark
        if first is not None:
            async for line in self._written(exchange, first, first.request or request):
                yield line

    async def _targets(self, route: Route, before: str) -> AsyncIterator[tuple[str, Target | str]]:
        """Targets in order, each supposed to fail."""
        failure: GatewayError | None = None
        for number in range(1, MOST_TARGETS + 1):
            try:
                step = await next_step(route, failure)
            except GatewayError as error:
                if failure is None and not before:  # nothing at all would be tried
                    raise
                if error is not failure:
                    yield before, error.message
                return
            if step is None:
                return
            where = f"a target of place {before}{number}"
            failure = UpstreamError(f"Supposed: {where} has failed.", kind=self.supposed)
            if isinstance(step, Race):
                for lane_number, lane in enumerate(step.lanes, 1):
                    async with aclosing(lane.route) as inner:
                        async for found in self._targets(inner, f"{before}{number}, at once, lane {lane_number}: "):
                            yield found
            else:
                yield f"{before}{number}", step

    async def _written(self, exchange: Exchange, target: Target, request: Request) -> AsyncIterator[tuple[str, str]]:
        backend = exchange.backend(target)
        if not isinstance(backend, HttpBackend):
            yield "upstream", f"'{target.backend}' is not asked by HTTP"
            return
        named = request.with_model(target.model)
        try:
            written = await backend.written(exchange, target, named)
        except GatewayError as error:
            yield "refused", error.message
            return
        yield "upstream", f"POST {backend.url(target, written.request)} ({written.dialect.name})"
        yield "body", written.body.decode("utf-8", "replace")
        losses = [f"{loss.feature} {loss.action} at {loss.path} ({loss.from_} -> {loss.to})" for loss in written.losses]
        for loss in losses or ["none"]:
            yield "loss", loss


def headers(given: Sequence[str]) -> dict[str, str]:
    """Headers from the command line.

    Raises:
        ConfigError: one has no colon.
    """
    found: dict[str, str] = {}
    for one in given:
        name, colon, value = one.partition(":")
        if not colon:
            raise ConfigError(f"expected NAME: VALUE, found {one!r} @ --header")
        found[name.strip().lower()] = value.strip()
    return found


def principal(gateway: Gateway, name: str | None) -> Principal | None:
    """Who would be calling.

    Raises:
        ConfigError: nobody has such a key.
    """
    if name is None:
        return None
    keys = gateway.config.auth.keys
    if name not in keys:
        raise ConfigError(f"no key is called {name!r}; {did_you_mean(name, keys) or 'see auth.keys'} @ --key")
    key = keys[name]
    return Principal(name, tuple(key.models), tuple(key.routes), key.limits)


def kind(word: str) -> Kind:
    """A class of failure.

    Raises:
        ConfigError: there is no such class.
    """
    known: dict[str, Kind] = {one: one for one in get_args(Kind)}
    if word not in known:
        raise ConfigError(f"no class of failure is called {word!r}; {did_you_mean(word, known) or ', '.join(known)} @ --if")
    return known[word]


def _changed(before: Request, after: Request) -> str:
    if after is before:
        return "changes nothing of it"
    told = [f"model '{before.model}' becomes '{after.model}'"] if after.model != before.model else []
    if after.raw is not before.raw or after.untouched != before.untouched or after.prompt is not before.prompt:
        told.append("the prompt or its settings change")
    return " and ".join(told) or "changes nothing of it"


def _details(target: Target) -> str:
    told = [f"key {target.credential}"] if target.credential != "default" else []
    if target.patience is not None:
        told.append(f"for {target.patience:g} s at most")
    return f" ({', '.join(told)})" if told else ""


def printed(word: str, text: str) -> Iterator[str]:
    """A line, for people; a body is printed to the letter.

    Args:
        word: what it is about.
        text: what there is to say.
    """
    if word == "body":
        yield "body"
        yield text
    else:
        yield f"{word:10} {text}"


def as_json(lines: Sequence[tuple[str, str]]) -> Any:
    """The same for programs: a list of objects; the body is text."""
    return jsons.dumps([{"what": word, "text": text} for word, text in lines]).decode()


def unhurried() -> Clock:
    """A clock on which nobody waits."""

    async def sleep(seconds: float) -> None:
        return None

    return Clock(sleep=sleep)


@define(eq=False)
class Overlay:
    """A state store that reads through to another, and writes to itself alone, so that looking changes nothing.

    Args:
        under: the one that is read.
        clock: for what is written here.
    """

    under: StateStore
    clock: Clock
    _own: MemoryStore = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._own = MemoryStore(self.clock.monotonic)

    async def get(self, key: str) -> str | None:
        """What was written here, else what stands below."""
        own = await self._own.get(key)
        return own if own is not None else await self.under.get(key)

    async def get_many(self, keys: Sequence[str]) -> list[str | None]:
        """The same, of several."""
        below = await self.under.get_many(keys)
        return [own if own is not None else under for own, under in zip(await self._own.get_many(keys), below, strict=True)]

    async def set(self, key: str, value: str, ttl: float | None = None) -> None:
        """Write here."""
        await self._own.set(key, value, ttl)

    async def add(self, key: str, amount: float, ttl: float | None = None) -> float:
        """Add here to what stands below."""
        if await self._own.get(key) is None:
            await self._own.set(key, await self.under.get(key) or "0", ttl)
        return await self._own.add(key, amount, ttl)

    async def delete(self, key: str) -> None:
        """Forget what was written here."""
        await self._own.delete(key)

    async def take(self, buckets: Sequence[Bucket], *, force: bool = False) -> Taken:
        """What would become of it: taking nothing tells what there is."""
        levels = await self.under.take([Bucket(one.key, 0.0, one.capacity, one.rate) for one in buckets])
        return taking(buckets, levels.left, force=force)

    async def seat(self, key: str, who: str, limit: int, ttl: float) -> bool:
        """As if there were a seat."""
        return True

    async def leave(self, key: str, who: str) -> None:
        """Nobody sat."""
