"""What plugins hand over. Hooks (``llmgw.hookspecs``) are called once; these objects do the work."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

from attrs import define, field, frozen
from attrs.validators import ge, gt, optional

from llmgw.errors import GatewayError, UpstreamError
from llmgw.events import Event, Events, Reply
from llmgw.model import JSON, Loss, ModelInfo, Profile, RateLimit, Request

if TYPE_CHECKING:
    from llmgw.exchange import Exchange
    from llmgw.gateway import Gateway

# ---- dialects -----------------------------------------------------------------------------------


Operation = Literal["generate", "count_tokens", "compact", "models", "model", "info", "health"]
"""What is asked at an endpoint: an answer, how many tokens a prompt has, a shorter history, the list of models, one model; or
what is served here, and whether it can be."""


@define
class Head:
    """What stands above a request's body.

    Args:
        method: as ``POST``.
        path: without the query.
        match: what the endpoint's path pattern matched.
        query: by name.
        headers: asked for in lower case, however they were sent.
        operation: what the endpoint is for.
    """

    method: str = "POST"
    path: str = "/"
    match: Mapping[str, str] = field(factory=dict)
    query: Mapping[str, str] = field(factory=dict, repr=False)
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    operation: Operation = "generate"


class Reader(Protocol):
    """A provider's bytes become events. Sans-io, and the same events however the bytes are cut."""

    def feed(self, data: bytes) -> Iterable[Event]:
        """Take bytes as they arrive."""
        ...

    def close(self) -> Iterable[Event]:
        """The provider has closed: the last events, the terminal one among them if it has not come yet."""
        ...

    @property
    def ended(self) -> bool:
        """Whether the reply has come to its end, so that ``close`` may be called without waiting for the provider."""
        ...

    @property
    def failing(self) -> bool:
        """Whether an error has come; what follows is waited for only briefly."""
        ...


class Relay(Reader, Protocol):
    """A reader that reads only as far as the reply's end must be known."""

    @property
    def passing(self) -> bool:
        """Whether the reply has come to something, so that ``through`` may be used."""
        ...

    def through(self, data: bytes) -> bytes:
        """What of these bytes, and of those before, may go to the client now: whole frames, or nothing yet."""
        ...


class Writer(Protocol):
    """Events become a client's bytes. Sans-io; for a whole reply all bytes come with the terminal event."""

    @property
    def content_type(self) -> str:
        """Of what it writes."""
        ...

    def feed(self, event: Event) -> bytes:
        """What the client gets for this event; often nothing."""
        ...

    def idle(self) -> bytes:
        """What keeps the connection alive and means nothing; nothing for a whole reply."""
        ...


class Crossing(Protocol):
    """One request's way into another dialect, and its reply's way back. Sans-io."""

    @property
    def wanted(self) -> Sequence[str]:
        """Keys of what earlier exchanges kept that would help; their values are given to ``recall`` before ``request``."""
        ...

    def recall(self, found: Mapping[str, str]) -> None:
        """Take what was found under the wanted keys."""
        ...

    def request(self) -> Request:
        """The request as the provider's dialect and model can say it.

        Raises:
            Unsupported: what is necessary for its meaning cannot be said.
        """
        ...

    def back(self, event: Event) -> Iterable[Event]:
        """What an event of the provider's reply is in the client's terms: names, ids and tools are the client's own again.

        A terminal event may come before the provider's own: the rest is then not wanted.
        """
        ...

    def further(self) -> Request | None:
        """What to ask the provider next, where its reply broke off to be continued; the reply then goes on with what comes."""
        ...

    @property
    def kept(self) -> Mapping[str, str]:
        """What later exchanges will want to know, once the reply has ended."""
        ...


class Dialect(ABC):
    """A wire format, both ways; pure functions and sans-io machines, no clock, no socket."""

    name: ClassVar[str]
    """As ``openai.chat``."""

    request_headers: ClassVar[frozenset[str]] = frozenset()
    """Headers of a client, in lower case, that mean something to a provider of the same dialect."""

    @abstractmethod
    def read_request(self, head: Head, body: bytes) -> Request:
        """Read what routing needs, leaving the prompt to be read when somebody asks.

        Raises:
            BadRequest: not JSON, or not an object.
            InvalidField: something that routing needs is missing or of the wrong type.
        """

    @abstractmethod
    def write_request(self, request: Request, losses: list[Loss] | None = None) -> bytes:
        """Write a request for a provider; bytes of what nobody changed are copied if it came in this dialect.

        Args:
            request: for the model that the provider knows.
            losses: takes what the dialect cannot express.
        """

    def forwarded(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """Of what ``read_request`` kept as headers, those that a provider of the same dialect gets."""
        return headers

    def is_stream(self, content_type: str, request: Request) -> bool:
        """Whether a provider's reply of this type is a stream."""
        return content_type.startswith("text/event-stream")

    @abstractmethod
    def reader(self, *, stream: bool) -> Reader:
        """Reads a provider's reply, whole or streamed, event by event."""

    @abstractmethod
    def relay(self, *, stream: bool) -> Relay:
        """Reads a provider's reply only as far as its end must be known: ``Raw`` events of many frames."""

    @abstractmethod
    def writer(self, request: Request, losses: list[Loss] | None = None) -> Writer:
        """Writes the reply to this request, whole or streamed as it asks.

        Args:
            request: what is answered.
            losses: takes what of the reply the dialect cannot express.
        """

    @abstractmethod
    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        """Classify a provider's error."""

    @abstractmethod
    def write_error(self, error: GatewayError) -> bytes:
        """A body from which the official SDK raises its own exception; a provider's own body if it spoke this dialect."""

    def error_status(self, error: GatewayError) -> int:
        """The HTTP status of an error in this dialect."""
        return error.status

    @abstractmethod
    def read_models(self, body: bytes) -> list[ModelInfo]:
        """Read a provider's list of models; raises UpstreamBroken where it is none."""

    @abstractmethod
    def write_models(self, models: Sequence[ModelInfo]) -> bytes:
        """Write a list of models."""

    @abstractmethod
    def write_model(self, model: ModelInfo) -> bytes:
        """Write one model, as the answer to a question for it."""

    def crossing(self, request: Request, profile: Profile, losses: list[Loss]) -> Crossing | None:
        """How a request of another dialect gets into this one; None where it can be written as it is.

        Args:
            request: of any dialect; one of this dialect may hold what only another provider can read.
            profile: of the model it is for.
            losses: takes what cannot be expressed.
        """
        return None

    def profile(self, model: str) -> Profile:
        """What is known of a model that is spoken to in this dialect."""
        return Profile()

    def spelled(self, setting: str) -> str:
        """How a client of this dialect spells a setting, as ``generationConfig.topP`` for ``top_p``."""
        return setting

    def read_count(self, body: bytes) -> int:
        """Read a provider's answer to how many tokens a prompt has; raises UpstreamBroken where it is none."""
        raise NotImplementedError(f"{self.name} does not count tokens")

    def write_count(self, tokens: int) -> bytes:
        """Write such an answer."""
        raise NotImplementedError(f"{self.name} does not count tokens")

    def example(self, model: str) -> str:
        """The smallest request for a model, for people to try; it holds no single quote."""
        return "{}"

    request_ids: ClassVar[tuple[str, ...]] = ("x-request-id",)
    """Response headers in which the official SDK looks for what to tell support."""

    def read_limits(self, headers: Mapping[str, str], now: float) -> Sequence[RateLimit]:
        """What a provider's response headers say about its rate limits; names in lower case, ``now`` in Unix seconds."""
        return ()

    def write_limits(self, limits: Sequence[RateLimit], now: float) -> Mapping[str, str]:
        """Headers that tell a client of this dialect."""
        return {}

    def claims(self, head: Head) -> bool:
        """Whether a request at a path that several dialects serve, such as a list of models, is surely one of this dialect."""
        return False

    session_headers: ClassVar[tuple[str, ...]] = ()
    """Request headers, in lower case, in which clients of this dialect name their conversation."""

    def conversation(self, request: Request) -> str | None:
        """Which conversation a request goes on with: an id in its body, else how its history begins; None where nobody can tell.

        The prompt is not read for it; the answer is text for nobody's eyes, to be compared.
        """
        return None

    def passes(self, name: str) -> bool:
        """Whether a provider's response header, in lower case, means something to a client of this dialect."""
        return name == "retry-after"


# ---- front-ends ---------------------------------------------------------------------------------


@frozen
class Endpoint:
    """A dialect and a path.

    Args:
        method: as ``POST``.
        path: an aiohttp pattern, as ``/v1beta/models/{model}:generateContent``.
        dialect: spoken there.
        operation: what is asked there; for ``model`` the path has ``{id}``.
        port: where this path alone is served, beside the gateway's own port; None is that one.
    """

    method: str
    path: str
    dialect: Dialect
    operation: Operation = "generate"
    port: int | None = None


# ---- commands -----------------------------------------------------------------------------------


@frozen
class Command:
    """A word that a person may write in a chat, as ``!/model(gpt-5)``.

    Args:
        name: the word.
        run: given the exchange and the text between the brackets; the line it returns is the answer.
        help: one line.
    """

    name: str
    run: Callable[[Exchange, str], Awaitable[str]]
    help: str


# ---- filters ------------------------------------------------------------------------------------


class Filter:
    """Changes a request on its way in and the events on their way out; override what you need."""

    redoes: ClassVar[bool] = False
    """Whether ``events`` may raise ``Redo``; the kernel then watches over it."""

    async def request(self, request: Request) -> Request | Reply:
        """Return the request, changed or not, or a reply, which is then sent back instead of asking a provider."""
        return request

    def events(self, events: Events) -> Events:
        """Usually an async generator over ``events``; what it keeps belongs in local variables.

        Raises:
            Redo: another attempt is to be made and spliced in.
        """
        return events


# ---- routes and back-ends -----------------------------------------------------------------------


@frozen
class Target:
    """Where one attempt goes.

    Args:
        backend: a back-end's id.
        model: as that back-end calls it.
        credential: which of its keys.
        request: what it is asked, where that is not what the route was asked for: other settings, a shorter history.
        patience: seconds for something of meaning to come, before the attempt counts as failed; None leaves it to the gateway.
    """

    backend: str
    model: str
    credential: str = "default"
    request: Request | None = field(default=None, eq=False, repr=False)
    patience: float | None = field(default=None, eq=False, repr=False)

    @property
    def name(self) -> str:
        """As a client may ask for it."""
        return f"{self.backend}:{self.model}"


@define(eq=False)
class Attempt:
    """What became of one target, for the account of an exchange.

    Args:
        target: where it went.
        began: on the gateway's monotonic clock.
        requests: HTTP requests that the provider was sent for it.
        failure: why it came to nothing; what went wrong behind the commit point, too.
        committed: whether the client got something of it.
    """

    target: Target
    began: float = 0.0
    requests: int = 0
    failure: GatewayError | None = None
    committed: bool = False

    @property
    def outcome(self) -> str:
        """In a word: the failure's kind, ``ok``, or ``cancelled`` where nobody waited for it any more."""
        return self.failure.kind if self.failure is not None else "ok" if self.committed else "cancelled"


@frozen
class Count:
    """How many tokens a prompt has.

    Args:
        tokens: so many.
        body: the provider's own answer.
        dialect: which that is written in.
        estimated: whether it is a guess of ours.
    """

    tokens: int
    body: bytes = field(default=b"", repr=False)
    dialect: str = ""
    estimated: bool = False


@frozen(eq=False)
class Lane:
    """One of several routes that are tried at once.

    Args:
        route: of this lane; it may have several targets, one after the other.
        handicap: seconds that it waits for the others before it sets out; it sets out at once when all of them have failed.
    """

    route: Route
    handicap: float = 0.0


@frozen(eq=False)
class Race:
    """Several routes at once: the first from which something of meaning comes is the attempt, and the others are cancelled."""

    lanes: Sequence[Lane]


Route = AsyncGenerator[Target | Race, GatewayError | None]
"""Yields a target or a race, is sent the failure of that attempt, and yields the next, returns or raises.

When it returns, the failure that it was sent last goes to the client; what it raises goes there instead. It is closed once an
attempt is committed, and when the client has left.
"""

Onward = Callable[[Target], Route]
"""The attempts that whoever comes next makes of a target."""


class Guard:
    """Stands before one target of a route: tries it with several credentials, or holds it back while it is known to fail."""

    def attempts(self, target: Target, onward: Onward) -> Route:
        """The attempts to make of a target; an async generator, as a route is.

        Args:
            target: one of a route's.
            onward: what the guards behind this one make of a target; its route must be closed (``contextlib.aclosing``).

        Raises:
            UpstreamError: the target is held back. The route goes on as if it had been tried.
        """
        return onward(target)


@frozen
class CredentialState:
    """What there is to say of a credential without showing it.

    Args:
        name: as ``Target.credential`` has it: a variable, a file.
        told: for people, in a few words: ``key from OPENAI_API_KEY``, ``no key: OPENAI_API_KEY is not set``.
        problem: why it cannot be used, and what to do; empty where it can.
        expires_at: Unix seconds; None where it does not end, or nobody knows.
        fingerprint: tells two values apart without showing them; empty where its value changes by itself, as a token does.
    """

    name: str
    told: str
    problem: str = ""
    expires_at: float | None = None
    fingerprint: str = ""


class Backend(ABC):
    """A provider under an id of its own; most are an ``llmgw.HttpBackend``."""

    name: str
    """The id used in ``backend:model``."""

    last_resort: ClassVar[bool] = False
    """Whether it is only there so that something is; another back-end beside it is the default."""

    @abstractmethod
    def stream(self, exchange: Exchange, target: Target, request: Request) -> Events:
        """Ask, and answer with events, the terminal one last.

        Raises:
            UpstreamError: from which the route may choose to go on to another target.
        """

    async def count(self, exchange: Exchange, target: Target, request: Request) -> Count | None:
        """How many tokens a prompt has; None where the provider does not count, so that it must be estimated.

        Raises:
            UpstreamError: the provider would not tell.
        """
        return None

    async def models(self, gateway: Gateway) -> Sequence[ModelInfo]:
        """The models to be had here, by the names that ``Target.model`` takes.

        Raises:
            UpstreamError: the provider would not tell.
        """
        return ()

    def serves(self, model: str) -> bool:
        """Whether a request that names no back-end may come here with this model; asked of the default back-end."""
        return True

    notices: Sequence[str] = ()
    """What the log says of it when the gateway starts: a vendor's terms, that it was shut."""
    loopback_only: bool = False
    """Whether its vendor's terms allow nobody but the person whose login it is, so that only this machine is served."""

    @property
    def credentials(self) -> Sequence[CredentialState]:
        """Those it has, by the names that ``Target.credential`` takes; the first one serves a target that names none."""
        return ()

    @property
    def credential_state(self) -> str:
        """For people, in a few words: ``key from OPENAI_API_KEY``, ``no key``. Never the key."""
        return ", ".join(one.told for one in self.credentials) or "needs no key"

    def problems(self) -> Iterable[str]:
        """What will keep it from working as configured, found without asking the provider."""
        return ()


# ---- observers ----------------------------------------------------------------------------------


class Observer:
    """Sees one exchange and changes nothing; override what you need.

    One that overrides ``event`` has the reply read event by event; without, frames are relayed unread where they can be.
    """

    def wire(self, leg: Literal["client", "provider"], direction: Literal["in", "out"], data: bytes) -> None:
        """Bytes at one of the two sockets; ``in`` is towards the gateway."""

    def event(self, event: Event) -> None:
        """An event as the client gets it."""

    def closed(self, error: BaseException | None) -> None:
        """The exchange is over, once; ``CancelledError`` when the client left."""


# ---- the rest -----------------------------------------------------------------------------------


@frozen
class Report:
    """What a plugin tells of its part, for people and for monitors.

    Args:
        title: what it is about, as ``keys``.
        rows: one for each thing, each with the same columns; values are JSON.
    """

    title: str
    rows: Sequence[Mapping[str, JSON]] = ()


@frozen
class Limits:
    """How much one caller may ask for; None is as much as it likes.

    Args:
        requests: a minute.
        tokens: a minute, of prompts and answers together.
        concurrent: at the same time.
    """

    requests: float | None = field(default=None, validator=optional(gt(0)))
    tokens: float | None = field(default=None, validator=optional(gt(0)))
    concurrent: int | None = field(default=None, validator=optional(ge(1)))


@frozen
class Principal:
    """Who is calling.

    Args:
        name: may stand in logs.
        models: patterns (as of a shell) of the targets it may reach, as ``acme:*``, or of a model's name at any back-end; none
            for all.
        routes: patterns of names that it may ask for whatever stands behind them: aliases and chains of the deployment. A name
            that a client has composed (with one of ``| ^ ! ? [``) must stand here as it is.
        limits: how much it may ask for.
    """

    name: str
    models: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    limits: Limits = Limits()

    def may(self, target: Target, asked: str) -> bool:
        """Whether it may reach a target, having asked for this name."""
        if not self.models and not self.routes:
            return True
        names = (target.name, target.model)
        if any(fnmatchcase(name, pattern) for pattern in self.models for name in names):
            return True
        if any(sign in asked for sign in "|^!?["):  # SECURITY: 'fast*' is no leave to ask for 'fast|other:expensive'
            return asked in self.routes
        return any(fnmatchcase(asked, pattern) for pattern in self.routes)


@frozen
class Clock:
    """Time, handed in, so that tests need not wait.

    Args:
        monotonic: seconds from some fixed moment.
        time: Unix seconds.
        sleep: waits for seconds.
    """

    monotonic: Callable[[], float] = time.monotonic
    time: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
