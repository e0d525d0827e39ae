"""Means for laws on recorded Chat Completions traffic."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from attrs import evolve
from chat import feed
from recordings import Recording, completions, load

from llmgw.errors import GatewayError
from llmgw.events import Error, Event, Frame, Reply, fold
from llmgw.model import Request
from llmgw.stages import Head, Reader
from llmgw_dialects.openai_chat import DIALECT

NAME = "openai-chat"


def requests() -> list[tuple[str, bytes]]:
    """All recorded requests that have messages."""
    return [(one.name, one.request) for one in load(NAME) if one.request and b'"messages"' in one.request]


def read_request(body: bytes) -> Request:
    """A request as this dialect reads it."""
    return DIALECT.read_request(Head(), named(body))


def readable() -> list[tuple[str, bytes]]:
    """Those whose prompt can be read; one recorded client sent ``"temperature": "hot"`` on purpose."""
    return [(name, body) for name, body in requests() if b'"hot"' not in body]


def named(body: bytes) -> bytes:
    """Azure's clients name the model in the path; ours must name it in the body."""
    tree = json.loads(body)
    return body if tree.get("model") else json.dumps({"model": "m", **{k: v for k, v in tree.items() if k != "model"}}).encode()


def streams() -> list[Recording]:
    """All recorded streams."""
    return list(completions(NAME, "chat.completions", stream=True))


def wholes() -> list[Recording]:
    """All recorded whole replies."""
    return list(completions(NAME, "chat.completions", stream=False))


def read(reader: Reader, pieces: Iterable[bytes]) -> list[Event]:
    """All events that a reader makes of these bytes."""
    return feed(reader, *pieces)


def events_of(one: Recording) -> list[Event]:
    """The events of a recorded reply."""
    return read(DIALECT.reader(stream=one.stream), [one.body])


def frames_of(events: Iterable[Event]) -> list[Frame]:
    """The frames of these events, each once."""
    found: list[Frame] = []
    for event in events:
        if event.frame is not None and (not found or found[-1] is not event.frame):
            found.append(event.frame)
    return found


def folded(events: Iterable[Event]) -> Reply | str:
    """The reply, or in words why there is none."""
    try:
        return fold(events)
    except GatewayError as error:
        return f"{type(error).__name__}: {error.message}"


def failing(law: Callable[[Recording], Any], recordings: Iterable[Recording]) -> list[str]:
    """Names of the recordings that break a law, with how."""
    out = []
    for one in recordings:
        try:
            law(one)
        except AssertionError as error:
            out.append(f"{one.name}: {str(error)[:600]}")
    return out


def touched(events: Iterable[Event]) -> list[Event]:
    """The same events, none of them pristine."""
    return [evolve(event) for event in events]


def told(reply: Reply, other: Reply) -> Reply:
    """A reply with what a writer must make up, where the provider did not say, or not in OpenAI's words: id, time, end."""
    words = ("stop", "length", "tool_calls", "function_call", "content_filter")
    choices = tuple(
        one if one.stop and one.stop.raw in words else evolve(one, stop=two.stop)
        for one, two in zip(reply.choices, other.choices, strict=True)
    )
    created = other.created if reply.created is None else reply.created
    return evolve(reply, id=reply.id or other.id, model=reply.model or other.model, created=created, choices=choices)


def failed(events: list[Event]) -> bool:
    """Whether these events end in an error."""
    return any(isinstance(event, Error) for event in events)
