"""Means for laws on recorded Anthropic Messages traffic."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from attrs import evolve
from messages import feed
from recordings import Recording, completions, load

from llmgw.errors import GatewayError
from llmgw.events import Error, Event, Reply, StopReason, fold
from llmgw.model import Part, Prompt, Request, ToolCall
from llmgw.stages import Head
from llmgw_dialects.anthropic_messages import DIALECT

NAME = "anthropic-messages"


def requests() -> list[tuple[str, bytes]]:
    """All recorded requests that have messages."""
    return [(one.name, named(one.request)) for one in load(NAME) if one.request and b'"messages"' in one.request]


def named(body: bytes) -> bytes:
    """Vertex's clients name the model in the path; ours must name it in the body."""
    tree = json.loads(body)
    return body if tree.get("model") else json.dumps({"model": "m", **{k: v for k, v in tree.items() if k != "model"}}).encode()


def read_request(body: bytes) -> Request:
    """A request as this dialect reads it."""
    return DIALECT.read_request(Head(), body)


def all_touched(prompt: Prompt) -> Prompt:
    """A prompt of which no node is clean, and which says the same."""
    return evolve(prompt, items=tuple(map(deep, prompt.items)), tools=tuple(map(evolve, prompt.tools)))


def deep(item: Any) -> Any:
    """An item with its parts, none of them clean."""
    return evolve(item, **({"parts": tuple(map(evolve, item.parts))} if hasattr(item, "parts") else {}))


def streams() -> list[Recording]:
    """All recorded streams; one recorder put two of them into one."""
    found = completions(NAME, "messages", stream=True)
    return [one if not (cut := _second(one.body)) else evolve(one, body=one.body[:cut]) for one in found]


def _second(body: bytes) -> int:
    """Where a second reply begins."""
    return body.find(b"event: message_start", 20) if body.count(b"event: message_start") > 1 else 0


def compact(reply: Reply) -> Reply:
    """A reply with arguments as a body spells them, and the provider's own word for its end left out."""
    return evolve(
        reply,
        choices=tuple(evolve(one, parts=tuple(map(_compact, one.parts)), stop=_wordless(one.stop)) for one in reply.choices),
    )


def _compact(part: Part) -> Part:
    if not isinstance(part, ToolCall):
        return part
    return evolve(part, arguments=json.dumps(json.loads(part.arguments), ensure_ascii=False, separators=(",", ":")))


def _wordless(stop: StopReason | None) -> StopReason | None:
    return None if stop is None else evolve(stop, raw=None)


def wholes() -> list[Recording]:
    """All recorded whole replies."""
    return list(completions(NAME, "messages", stream=False))


def events_of(one: Recording) -> list[Event]:
    """The events of a recorded reply."""
    return feed(DIALECT.reader(stream=one.stream), one.body)


def folded(events: Iterable[Event]) -> Reply | str:
    """The reply, or in words why there is none."""
    try:
        return fold(events)
    except GatewayError as error:
        return f"{type(error).__name__}: {error.message}"


def failed(events: list[Event]) -> bool:
    """Whether these events end in an error."""
    return any(isinstance(event, Error) for event in events)


def failing(law: Callable[[Recording], Any], recordings: Iterable[Recording]) -> list[str]:
    """Names of the recordings that break a law, with how."""
    out = []
    for one in recordings:
        try:
            law(one)
        except AssertionError as error:
            out.append(f"{one.name}: {str(error)[:600]}")
    return out
