"""The eleven kinds of event, and what they hold."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from typing import TYPE_CHECKING, Literal, TypeVar

from attrs import define, evolve, field

from llmgw.errors import GatewayError, UpstreamBroken
from llmgw.model import JSON

# Frozen for the type checker, which is who would change an event by mistake; at run time a frozen class costs three times as
# much to make as a plain one, and an event is made for every token.
if TYPE_CHECKING:
    from attrs import frozen
else:

    def frozen(cls=None, **options):
        return define(cls, unsafe_hash=True, **options)


# ---- the events ---------------------------------------------------------------------------------


@define(eq=False)
class Frame:
    """What came over the wire as one piece: an SSE frame with its blank line, or a whole body.

    Args:
        dialect: whose it is.
        data: the bytes.
        count: how many events were made of it.
        tree: the JSON in it, where there is some.
    """

    dialect: str
    data: bytes = field(repr=False)
    count: int = 0
    tree: JSON = field(default=None, repr=False)


@frozen(kw_only=True)
class Event:
    """Something that happened in a reply.

    ``attrs.evolve`` gives a changed copy, which still knows the frame it came from but is no longer pristine, so that a
    writer of the same dialect writes it anew.
    """

    frame: Frame | None = field(default=None, eq=False, repr=False)
    pristine: bool = field(default=False, init=False, eq=False, repr=False)


_E = TypeVar("_E", bound=Event)
BlockKind = Literal[
    "text", "reasoning", "tool_call", "custom_tool_call", "server_tool_call", "server_tool_result", "refusal", "media", "opaque"
]
Channel = Literal["text", "args", "input", "reasoning_summary", "reasoning_raw", "refusal", "media"]
StopKind = Literal[
    "end", "stop_sequence", "max_tokens", "context_window", "tool_use", "pause", "refusal", "content_filter",
    "malformed_tool_call", "compaction", "continuation", "steered", "cancelled", "error", "other",
]  # fmt: skip


def framed(events: Iterable[_E], frame: Frame) -> list[_E]:
    """Mark events as made of one frame, and pristine. For dialects, while reading."""
    out = events if isinstance(events, list) else list(events)
    frame.count = len(out)
    for event in out:
        event.frame = frame  # type: ignore[misc]  # frozen for everybody else
        event.pristine = True  # type: ignore[misc]
    return out


@frozen(kw_only=True)
class Usage:
    """Tokens. ``input_total`` includes cached and cache-written ones, ``output_total`` includes reasoning.

    ``raw`` is the provider's own object; ``estimated`` says that nobody counted.
    """

    input_total: int | None = None
    output_total: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    tool_prompt: int | None = None
    audio_input: int | None = None
    audio_output: int | None = None
    accepted_prediction: int | None = None
    rejected_prediction: int | None = None
    estimated: bool = False
    raw: JSON = field(default=None, eq=False, repr=False)

    def merged(self, later: Usage) -> Usage:
        """The later snapshot, with what it does not say taken from this one."""
        if later.raw is not None and not any(
            getattr(later, name) is None and getattr(self, name) is not None for name in _COUNTS
        ):
            return later  # as nearly always
        known = {name: value for name in _COUNTS if (value := getattr(later, name)) is not None}
        return evolve(self, **known, estimated=later.estimated, raw=later.raw or self.raw)

    def plus(self, other: Usage) -> Usage:
        """The sum of both: what two attempts used together."""
        sums = {name: (getattr(self, name) or 0) + value for name in _COUNTS if (value := getattr(other, name)) is not None}
        return evolve(self, **sums, estimated=self.estimated or other.estimated, raw=None)


_COUNTS = (
    "input_total", "output_total", "cache_read", "cache_write", "reasoning", "tool_prompt", "audio_input", "audio_output",
    "accepted_prediction", "rejected_prediction",
)  # fmt: skip


@frozen
class StopReason:
    """Why a choice ended; ``raw`` is the provider's own word."""

    kind: StopKind
    sequence: str | None = None
    category: str | None = None
    explanation: str | None = None
    continuation: str | None = None
    raw: str | None = None


@frozen(kw_only=True)
class ResponseStart(Event):
    """1: first, once. ``created`` in Unix seconds."""

    id: str | None = None
    model: str | None = None
    created: int | None = None
    usage: Usage | None = None
    extras: Mapping[str, JSON] = field(factory=dict)


@frozen(kw_only=True)
class BlockStart(Event):
    """2: a block opens; ``index`` is unique and contiguous within its choice. ``meta`` holds ids, names, phase, group."""

    index: int
    kind: BlockKind
    choice: int = 0
    meta: Mapping[str, JSON] = field(factory=dict)


@frozen(kw_only=True)
class BlockDelta(Event):
    """3: more of a block; fragments are appended. ``part`` numbers the summary or raw text it belongs to."""

    index: int
    channel: Channel
    fragment: str
    choice: int = 0
    part: int = 0


@frozen(kw_only=True)
class BlockMeta(Event):
    """4: about a block: a citation, logprobs (appended), a carrier (the last one wins), or something else."""

    index: int
    what: Literal["citation", "logprobs", "carrier", "extra"]
    value: JSON
    choice: int = 0


@frozen(kw_only=True)
class BlockStop(Event):
    """5: a block closes; ``final`` is the provider's own last word about it, where it gave one."""

    index: int
    choice: int = 0
    final: JSON = None


@frozen(kw_only=True)
class UsageUpdate(Event):
    """6: what was used so far."""

    usage: Usage


@frozen(kw_only=True)
class Progress(Event):
    """7: a sign of life, never content."""

    kind: Literal["ping", "queued", "in_progress", "server_tool", "processing"] = "ping"
    state: JSON = None


@frozen(kw_only=True)
class Stop(Event):
    """8: a choice is complete."""

    reason: StopReason
    choice: int = 0


@frozen(kw_only=True)
class ResponseEnd(Event):
    """9: all is said. Terminal."""

    usage: Usage | None = None
    status: str | None = None


@frozen(kw_only=True)
class Error(Event):
    """10: it failed. Terminal."""

    error: GatewayError


@frozen(kw_only=True)
class Raw(Event):
    """11: something of the provider's that has no other name; only a writer of the same dialect prints it.

    Args:
        name: the event's name, where the dialect has names.
        payload: its JSON, where somebody read it.
    """

    dialect: str
    name: str = ""
    payload: JSON = None


Events = AsyncGenerator[Event, None]
Terminal = ResponseEnd | Error

_OPENING = (ResponseStart, Progress, UsageUpdate)


def is_meaningful(event: Event) -> bool:
    """Whether the client has got something once this is sent: the commit point of an attempt."""
    return not isinstance(event, _OPENING)


def cut_short(what: str = "the stream ended before the reply was complete") -> UpstreamBroken:
    """The error of a provider that stopped in the middle (law 5)."""
    return UpstreamBroken(f"The provider's answer broke off: {what}. Ask again, or choose another model.")
