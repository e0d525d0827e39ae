"""What the tests of the kernel share: plugins made of functions, a dialect of few words, a back-end that plays what it is given.

The toys are loaded as a stranger's plugins are, by entry points; only the distribution that holds them is a fake.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from importlib.metadata import distribution, entry_points
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

from attrs import define, evolve, field

from llmgw import jsons, plugins, sse, stages
from llmgw.config import Config, load
from llmgw.errors import BadRequest, GatewayError, Kind, UpstreamBroken, UpstreamError, UpstreamRefused, UpstreamReply
from llmgw.events import (
    BlockDelta,
    BlockStart,
    BlockStop,
    Error,
    Event,
    Frame,
    Progress,
    Raw,
    Reply,
    ResponseEnd,
    ResponseStart,
    Stop,
    StopReason,
    cut_short,
    fold,
    framed,
)
from llmgw.exchange import Exchange
from llmgw.gateway import Gateway
from llmgw.hookspecs import hookimpl
from llmgw.model import Carrier, Loss, Message, ModelInfo, Profile, Prompt, RawDoc, Request, Text, texts
from llmgw.pipeline import answer
from llmgw.stages import Backend, Clock, Command, Dialect, Endpoint, Filter, Head, Observer, Operation, Reader, Target, Writer
from llmgw.transport import HttpBackend

OTHERS = [
    one.name for one in distribution("llmgw").entry_points.select(group="llmgw.defaults")
    if one.value.partition(".")[0] not in ("frontends", "backends")
]  # fmt: skip
"""The default set, but for what a deployment that names its own replaces."""

# ---- a dialect ----------------------------------------------------------------------------------


class Toy(Dialect):
    """``{"model", "say", "stream"}`` is answered with ``{"said"}``, or with frames ``{"say"}`` and one ``{"end"}``.

    ``state`` is a list of opaque texts from the model's last turn; a provider that refuses one says ``{"carriers"}``, one
    that does not know a field ``{"field"}``.
    """

    name: ClassVar[str] = "toy"
    request_headers: ClassVar[frozenset[str]] = frozenset({"toy-beta"})

    def read_request(self, head: Head, body: bytes) -> Request:
        try:
            tree = jsons.loads(body)
        except jsons.JsonError:
            raise BadRequest("This is no JSON.") from None
        headers = {name: head.headers[name] for name in self.request_headers if name in head.headers}
        return Request(
            dialect=self.name,
            model=tree["model"],
            stream=tree.get("stream", False),
            operation=head.operation if head.operation in ("count_tokens", "compact") else "generate",
            raw=RawDoc(self.name, body, tree=tree),
            headers=headers,
            load=lambda doc: Prompt(items=(*_turn(doc.tree), Message(role="user", parts=(Text(doc.tree.get("say", "")),)))),
        )

    def write_request(self, request: Request, losses: list[Loss] | None = None) -> bytes:
        if request.raw is not None and request.untouched and request.model == request.raw.tree["model"]:
            return request.raw.data
        state = {"state": kept} if (kept := states(request)) else {}
        return jsons.dumps({"model": request.model, "say": said(request), "stream": request.stream, **state})

    def reader(self, *, stream: bool) -> Reader:
        return StreamReader() if stream else WholeReader()

    def relay(self, *, stream: bool) -> stages.Relay:
        return Relay() if stream else WholeReader()

    def writer(self, request: Request, losses: list[Loss] | None = None) -> Writer:
        return StreamWriter() if request.stream else WholeWriter()

    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        upstream = UpstreamReply(status, body, self.name, headers)
        words = body.decode(errors="replace")
        kinds: dict[int, Kind] = {401: "authentication", 429: "rate_limited"}
        error = UpstreamRefused(words, upstream=upstream, kind=kinds.get(status))
        if status == 400 and words.startswith('{"carriers"'):
            error.cure = "carriers"
        elif status == 400 and words.startswith('{"field"'):
            error.cure, error.param = "field", jsons.loads(body)["field"]
        return error

    def write_error(self, error: GatewayError) -> bytes:
        if isinstance(error, UpstreamError) and error.upstream is not None and error.upstream.dialect == self.name:
            return error.upstream.body
        return jsons.dumps({"error": error.message, "kind": error.kind})

    def read_models(self, body: bytes) -> list[ModelInfo]:
        try:
            return [ModelInfo(name) for name in jsons.loads(body)["models"]]
        except (jsons.JsonError, KeyError, TypeError):
            raise UpstreamBroken("That is no list of models.") from None

    def write_models(self, models: Sequence[ModelInfo]) -> bytes:
        return jsons.dumps({"models": [model.id for model in models]})

    def write_model(self, model: ModelInfo) -> bytes:
        return jsons.dumps({"model": model.id})

    def read_count(self, body: bytes) -> int:
        try:
            return int(jsons.loads(body)["count"])
        except (jsons.JsonError, KeyError, TypeError):
            raise UpstreamBroken("That is no count.") from None

    def write_count(self, tokens: int) -> bytes:
        return jsons.dumps({"count": tokens})

    def spelled(self, setting: str) -> str:
        return f"my_{setting}"


class Abroad(Toy):
    """The same words in another dialect: a crossing leads there, and what stands under ``lost`` cannot be said.

    What stands under ``options`` becomes fields of the body.
    """

    name: ClassVar[str] = "abroad"

    def write_request(self, request: Request, losses: list[Loss] | None = None) -> bytes:
        tree = request.raw.tree if request.raw is not None else {}
        if losses is not None:
            losses += [Loss(name, name, action, request.dialect, self.name) for name, action in tree.get("lost", {}).items()]
        return jsons.dumps({**jsons.loads(super().write_request(request)), **tree.get("options", {})})

    def crossing(self, request: Request, profile: Profile, losses: list[Loss]) -> Crossway | None:
        return None if request.dialect == self.name else Crossway(request, profile)

    def profile(self, model: str) -> Profile:
        return Profile(stop_max=len(model))


@define(eq=False)
class Crossway:
    """Says on the way in what was kept under ``word``, keeps what the reply says, and ends the reply where it says ``STOP``."""

    asked: Request
    profile: Profile
    wanted: Sequence[str] = ("word",)
    found: dict[str, str] = field(factory=dict)
    kept: dict[str, str] = field(factory=dict)
    more: list[str] = field(factory=list)
    """What is asked next, one after the other."""

    def recall(self, found: Mapping[str, str]) -> None:
        self.found |= found

    def request(self) -> Request:
        word = f"({self.found['word']})" if "word" in self.found else ""
        *before, last = self.asked.prompt.items
        assert isinstance(last, Message)
        return self.asked.with_prompt(items=(*before, evolve(last, parts=(Text(said(self.asked) + word),))))

    def back(self, event: Event) -> Iterable[Event]:
        if isinstance(event, BlockDelta):
            said, stop, _ = event.fragment.partition("STOP")
            self.kept["word"] = self.kept.get("word", "") + said
            if stop:
                return [*([evolve(event, fragment=said)] if said else []), *ending()]
        return [event]

    def further(self) -> Request | None:
        return None


def states(request: Request) -> list[str]:
    """The opaque state of a request."""
    parts = [part for item in request.prompt.items for part in getattr(item, "parts", ())]
    return [part.carrier.payload for part in parts if isinstance(part, Text) and part.carrier is not None]


def _turn(tree: Any) -> tuple[Message, ...]:
    kept = [Text("", carrier=Carrier("toy", "signature", one)) for one in tree.get("state", ())]
    return (Message(role="assistant", parts=tuple(kept)),) if kept else ()


def said(request: Request) -> str:
    """The words of a request's last message."""
    last = request.prompt.items[-1]
    return texts(last.parts) if isinstance(last, Message) else ""


def frame(**tree: Any) -> bytes:
    """A frame of the toy dialect."""
    return b"data: " + jsons.dumps(tree) + b"\n\n"


@define
class StreamReader:
    """Reads a toy stream, frame by frame."""

    ended: bool = field(default=False, init=False)
    failing: bool = field(default=False, init=False)
    _splitter: sse.Splitter = field(factory=sse.Splitter)
    _started: bool = False
    _ended: bool = False

    def feed(self, data: bytes) -> Iterable[Event]:
        return [event for one in sse.frames(self._splitter.feed(data)) for event in self._frame(one)]

    def close(self) -> Iterable[Event]:
        return [] if self._ended else [Error(error=cut_short())]

    def _frame(self, one: bytes) -> list[Event]:
        data = sse.parse(one)[1]
        if data is None:
            return [Progress()]
        tree, events = jsons.loads(data), list[Event]()
        if not self._started and "error" not in tree:
            self._started = True
            events += [ResponseStart(), BlockStart(index=0, kind="text")]
        if "say" in tree:
            events.append(BlockDelta(index=0, channel="text", fragment=tree["say"]))
        self._ended |= "end" in tree or "error" in tree
        if "error" in tree:
            return [Error(error=UpstreamBroken(tree["error"]))]
        return events + (ending(tree["end"]) if "end" in tree else [])


@define
class WholeReader:
    """Reads a whole toy reply."""

    _body: bytes = b""
    passing: ClassVar[bool] = False
    ended: bool = field(default=False, init=False)
    failing: bool = field(default=False, init=False)

    def through(self, data: bytes) -> bytes:
        return b""

    def feed(self, data: bytes) -> Iterable[Event]:
        self._body += data
        return ()

    def close(self) -> Iterable[Event]:
        try:
            return reply(jsons.loads(self._body)["said"])
        except (jsons.JsonError, KeyError, TypeError):
            return [Error(error=cut_short())]


@define
class Relay:
    """Relays a toy stream unread; its end shows by ``"end"``."""

    ended: bool = field(default=False, init=False)
    failing: bool = field(default=False, init=False)
    _splitter: sse.Splitter = field(factory=sse.Splitter)
    _complete: bool = False
    passing: bool = False

    def through(self, data: bytes) -> bytes:
        block = self._splitter.feed(data)
        self._complete |= b'"end"' in block
        self.passing |= bool(block)
        return block

    def feed(self, data: bytes) -> Iterable[Event]:
        block = self.through(data)
        return framed([Raw(dialect="toy")], Frame("toy", block)) if block else ()

    def close(self) -> Iterable[Event]:
        return framed([ResponseEnd()], Frame("toy", b"")) if self._complete else [Error(error=cut_short())]


@define
class StreamWriter:
    """Writes a toy stream."""

    content_type: str = "text/event-stream"
    _open: list[int] = field(factory=list)

    def feed(self, event: Event) -> bytes:
        match event:
            case Raw() if event.frame is not None:
                return event.frame.data
            case BlockDelta():
                return frame(say=event.fragment)
            case ResponseEnd():
                return frame(end="end") if event.frame is None else b""
            case Error():
                return frame(error=event.error.message)
            case _:
                return b""

    def idle(self) -> bytes:
        return b":\n\n"


@define
class WholeWriter:
    """Writes a whole toy reply."""

    content_type: str = "application/json"
    _events: list[Event] = field(factory=list)

    def feed(self, event: Event) -> bytes:
        self._events.append(event)
        return jsons.dumps({"said": told(self._events)}) if isinstance(event, ResponseEnd) else b""

    def idle(self) -> bytes:
        return b""


TOY, ABROAD = Toy(), Abroad()

# ---- replies ------------------------------------------------------------------------------------


def opening(*words: str, index: int = 0) -> list[Event]:
    """The start of a reply, and words in a block that stays open."""
    return [ResponseStart(), BlockStart(index=index, kind="text"), *(delta(word, index) for word in words)]


def delta(word: str, index: int = 0) -> BlockDelta:
    """One more word of a block."""
    return BlockDelta(index=index, channel="text", fragment=word)


def ending(kind: Any = "end", index: int = 0) -> list[Event]:
    """The end of a reply whose block is open."""
    return [BlockStop(index=index), Stop(reason=StopReason(kind)), ResponseEnd()]


def reply(*words: str) -> list[Event]:
    """All events of a reply."""
    return [*opening(*words), *ending()]


def told(events: Iterable[Event]) -> str:
    """The words of all blocks of a reply."""
    return "".join(texts(choice.parts) for choice in fold(events).choices)


def canned(text: str) -> Reply:
    """A reply, as a filter gives it instead of asking a back-end."""
    return fold(reply(text))


# ---- a back-end ---------------------------------------------------------------------------------

Step = Event | BaseException | asyncio.Event
"""What an attempt does next: give an event, fail, or wait."""


@define(eq=False)
class Player(Backend):
    """Plays one script an attempt, the last one again and again; ``asked`` and ``log`` tell what was made of it."""

    name: str = "toy"
    scripts: deque[Sequence[Step]] = field(factory=lambda: deque([reply("Hello")]))
    listed: Sequence[str] = ("m",)
    asked: list[tuple[Target, Request]] = field(factory=list)
    log: list[str] = field(factory=list)
    """``open`` and ``close`` of each attempt, in their order."""

    @classmethod
    def of(cls, *scripts: Sequence[Step], name: str = "toy") -> Player:
        """A back-end that plays these."""
        return cls(name, deque(scripts))

    async def stream(self, exchange: Exchange, target: Target, request: Request) -> AsyncGenerator[Event, None]:
        self.asked.append((target, request))
        self.log.append("open")
        script = self.scripts.popleft() if len(self.scripts) > 1 else self.scripts[0]
        try:
            for step in script:
                match step:
                    case asyncio.Event():
                        await step.wait()
                    case BaseException():
                        raise step
                    case _:
                        yield step
        finally:
            self.log.append("close")

    async def models(self, gateway: Gateway) -> Sequence[ModelInfo]:
        return [ModelInfo(name) for name in self.listed]

    @property
    def said(self) -> list[str]:
        """What each attempt was asked."""
        return [said(request) for _, request in self.asked]


@define(eq=False, kw_only=True)
class ToyHttp(HttpBackend):
    """A provider that speaks the toy dialect over HTTP."""

    dialect: ClassVar[Dialect] = TOY
    path: ClassVar[str] = "/say"

    name: str = "toy"

    def headers(self, target: Target) -> Mapping[str, str]:
        return {"authorization": f"Bearer key-of-{target.credential}"}


@define(eq=False, kw_only=True)
class AbroadHttp(ToyHttp):
    """One that speaks another dialect, and counts tokens."""

    dialect: ClassVar[Dialect] = ABROAD
    paths: ClassVar[Mapping[Operation, str]] = {"count_tokens": "/count"}


# ---- filters and observers ----------------------------------------------------------------------


@define(eq=False)
class Tagging(Filter):
    """Puts its name behind what is said, both ways, and notes what it does."""

    tag: str
    log: list[str] = field(factory=list)

    async def request(self, request: Request) -> Request | Reply:
        self.log.append(f"{self.tag}>")
        return request.with_prompt(items=(Message(role="user", parts=(Text(said(request) + self.tag),)),))

    async def events(self, events: AsyncGenerator[Event, None]) -> AsyncGenerator[Event, None]:
        try:
            async for event in events:
                yield delta(event.fragment + self.tag, event.index) if isinstance(event, BlockDelta) else event
        finally:
            self.log.append(f"<{self.tag}")


@define(eq=False)
class Watching(Observer):
    """Keeps all that it sees."""

    wires: list[tuple[str, str, bytes]] = field(factory=list)
    events: list[Event] = field(factory=list)
    ends: list[BaseException | None] = field(factory=list)

    def wire(self, leg: Any, direction: Any, data: bytes) -> None:
        self.wires.append((leg, direction, data))

    def event(self, event: Event) -> None:
        self.events.append(event)

    def closed(self, error: BaseException | None) -> None:
        self.ends.append(error)

    def heard(self, leg: str, direction: str) -> bytes:
        """All bytes that went this way."""
        return b"".join(data for where, way, data in self.wires if (where, way) == (leg, direction))


# ---- plugins ------------------------------------------------------------------------------------


def plugin(**members: Any) -> type:
    """A plugin of functions: those named as a hook are hooks, and take its arguments without ``self``."""
    hooks = plugins.hook_names()
    body = {name: staticmethod(hookimpl(value)) if name in hooks else value for name, value in members.items()}
    return define(eq=False)(type("Plugin", (), {"__doc__": "A toy.", **body}))


def filtering(*filters: Filter | None) -> list[type]:
    """A plugin for each filter."""
    return [_filter(one) for one in filters]


def _filter(one: Filter | None) -> type:
    def open_filter(exchange: Exchange) -> Filter | None:
        return one

    return plugin(open_filter=open_filter)


def observing(observer: Observer | None) -> type:
    """A plugin with this observer for every exchange."""

    def open_observer(exchange: Exchange) -> Observer | None:
        return observer

    return plugin(open_observer=open_observer)


def serving(*backends: Backend) -> type:
    """A plugin with these back-ends."""

    def hook(gateway: Gateway) -> Iterable[Backend]:
        return backends

    return plugin(backends=hook)


def commanding(*commands: Command) -> type:
    """A plugin with these commands."""

    def chat_commands(gateway: Gateway) -> Iterable[Command]:
        return commands

    return plugin(chat_commands=chat_commands)


def routing(make: Callable[[Exchange, Request], Any]) -> type:
    """A plugin with this route."""

    def route(exchange: Exchange, request: Request) -> Any:
        return make(exchange, request)

    return plugin(route=route)


def _front(gateway: Gateway) -> Iterable[Endpoint]:
    return [
        Endpoint("POST", "/toy", TOY),
        Endpoint("GET", "/toy/models", TOY, "models"),
        Endpoint("GET", "/toy/models/{id:.+}", TOY, "model"),
        Endpoint("POST", "/toy/count", TOY, "count_tokens"),
        Endpoint("POST", "/toy/compact", TOY, "compact"),
        Endpoint("GET", "/toy/info", TOY, "info"),
        Endpoint("GET", "/toy/health", TOY, "health"),
    ]


FRONT = plugin(frontend_endpoints=_front)


def default_set() -> list[str]:
    """What is on without being named."""
    return sorted(entry_points(group="llmgw.defaults").names)


@define(eq=False)
class Toybox:
    """Installs plugins: a distribution of entry points, and the module they point to."""

    folder: Path
    module: ModuleType = field(factory=lambda: ModuleType("llmgw_toybox"))
    _numbers: Any = field(factory=count)

    def install(self, *classes: type) -> list[str]:
        """Install plugin classes; their names."""
        names = [f"toy-{next(self._numbers)}" for _ in classes]
        for name, cls in zip(names, classes, strict=True):
            setattr(self.module, name.replace("-", "_"), cls)
        info = self.folder / "llmgw_toybox-1.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: llmgw-toybox\nVersion: 1\n")
        lines = [f"{name.replace('_', '-')} = llmgw_toybox:{name}" for name in vars(self.module) if name.startswith("toy_")]
        (info / "entry_points.txt").write_text("\n".join(["[llmgw]", *lines, ""]))
        return names

    def deployment(self, *classes: type, **rest: Any) -> dict[str, Any]:
        """A configuration with these plugins, in this order, and nothing of the default set; front-end and back-end are toys."""
        sections = {section: list[type]() for section in ("frontends", "commands", "filters", "routes", "observers", "plugins")}
        providers: list[type] = []
        for cls in classes:
            (providers if hasattr(cls, "backends") else sections[_section(cls)]).append(cls)
        sections["frontends"] = sections["frontends"] or [FRONT]
        config: dict[str, Any] = {section: self.install(*found) for section, found in sections.items() if found}
        config["backends"] = {name: {} for name in self.install(*(providers or [serving(Player())]))}
        return config | {"defaults": dict.fromkeys(OTHERS, False)} | rest

    def config(self, *classes: type, env: Mapping[str, str] | None = None, **rest: Any) -> Config:
        """The same, read."""
        file = self.folder / "llmgw.yaml"
        file.write_bytes(jsons.dumps(self.deployment(*classes, **rest)))
        return load(file, env or {}, port=0)

    def gateway(self, *classes: type, clock: Clock | None = None, env: Mapping[str, str] | None = None, **rest: Any) -> Gateway:
        """A gateway with these plugins, built and not running."""
        return Gateway.build(self.config(*classes, env=env, **rest), clock)


_SECTIONS = {
    "frontend_endpoints": "frontends",
    "chat_commands": "commands",
    "open_filter": "filters",
    "route": "routes",
    "open_observer": "observers",
}


def _section(cls: type) -> str:
    return next((section for hook, section in _SECTIONS.items() if hasattr(cls, hook)), "plugins")


# ---- exchanges ----------------------------------------------------------------------------------


def request(say: str = "Hi", model: str = "m", *, stream: bool = True, **more: Any) -> Request:
    """A request, as the toy dialect reads it."""
    return TOY.read_request(Head(), jsons.dumps({"model": model, "say": say, "stream": stream, **more}))


def exchange(gateway: Gateway, **more: Any) -> Exchange:
    """An exchange of a client that speaks the toy dialect."""
    return Exchange(gateway, TOY, Head(), task=asyncio.current_task(), **more)


async def answered(gateway: Gateway, asked: Request | None = None, **more: Any) -> list[Event]:
    """All events that answer a request."""
    async with aclosing(await answer(exchange(gateway, **more), asked or request())) as events:
        return [event async for event in events]


async def turns(number: int = 20) -> None:
    """Let everybody run."""
    for _ in range(number):
        await asyncio.sleep(0)


async def until(condition: Callable[[], Any]) -> None:
    """Let everybody run until something is so."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 -- what is waited for may be anything
            await asyncio.sleep(0.001)
