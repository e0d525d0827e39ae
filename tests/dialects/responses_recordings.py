"""Means for laws on recorded Responses traffic."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from attrs import evolve
from recordings import Recording, completions, load
from responses import feed

from llmgw import sse
from llmgw.errors import GatewayError
from llmgw.events import Error, Event, Frame, Reply, fold
from llmgw.model import Prompt, Request
from llmgw.stages import Head, Operation
from llmgw_dialects.openai_responses import DIALECT

NAME = "openai-responses"
_OPERATIONS: dict[str, Operation] = {"responses.compact": "compact", "responses.input_tokens": "count_tokens"}
_LAST = ("response.completed", "response.incomplete")


def requests() -> list[tuple[str, Operation, bytes]]:
    """All recorded requests."""
    return [(one.name, _OPERATIONS.get(one.endpoint, "generate"), named(one.request)) for one in load(NAME) if one.request]


def named(body: bytes) -> bytes:
    """A template may name the model; ours must name it in the body."""
    tree = json.loads(body)
    return body if tree.get("model") else json.dumps({"model": "m", **tree}).encode()


def read_request(body: bytes, operation: Operation = "generate") -> Request:
    """A request as this dialect reads it."""
    return DIALECT.read_request(Head(operation=operation), body)


def streams() -> list[Recording]:
    """All recorded streams."""
    return [one for name in ("responses", "responses.retrieve") for one in completions(NAME, name, stream=True)]


def wholes() -> list[Recording]:
    """All recorded whole replies."""
    names = ("responses", "responses.retrieve", "responses.compact")
    return [one for name in names for one in completions(NAME, name, stream=False)]


def events_of(one: Recording) -> list[Event]:
    """The events of a recorded reply."""
    return feed(DIALECT.reader(stream=one.stream), one.body)


def said(body: bytes) -> bytes:
    """A stream up to the end of its last frame; some providers put ``[DONE]`` behind it, some recorders another stream."""
    at = 0
    for frame in sse.frames(body):
        at += len(frame)
        _, data = sse.parse(frame)
        if data and data != b"[DONE]" and json.loads(data).get("type") in _LAST:
            return body[:at]
    return body


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


def all_touched(prompt: Prompt) -> Prompt:
    """A prompt of which no node is clean, and which says the same."""
    items: list[Any] = list(prompt.items)
    items = [evolve(item, **({"parts": tuple(map(evolve, item.parts))} if hasattr(item, "parts") else {})) for item in items]
    return evolve(prompt, items=tuple(items), tools=tuple(map(evolve, prompt.tools)))


def distinct(reply: Reply) -> Reply:
    """A reply without ids that stand twice in it, as xAI's do: the SDK cannot bear them, so a writer of ours makes others."""
    choices = []
    for choice in reply.choices:
        ids = [getattr(part, "id", None) for part in choice.parts]
        twice = {ident for ident in ids if ident is not None and ids.count(ident) > 1}
        parts = [evolve(part, id=None) if getattr(part, "id", None) in twice else part for part in choice.parts]  # type: ignore[call-arg]
        choices.append(evolve(choice, parts=tuple(parts)))
    return evolve(reply, choices=tuple(choices))


def without_ids(reply: Reply, like: Reply) -> Reply:
    """A reply that has ids where another has, and a model that a writer made up."""
    choices = []
    for choice, other in zip(reply.choices, like.choices, strict=True):
        pairs = zip(choice.parts, other.parts, strict=True)
        parts = [evolve(one, id=None) if hasattr(two, "id") and two.id is None else one for one, two in pairs]  # type: ignore[call-arg]
        choices.append(evolve(choice, parts=tuple(parts)))
    return evolve(reply, choices=tuple(choices), model=like.model and reply.model)


def failed(events: list[Event]) -> bool:
    """Whether these events end in an error."""
    return any(isinstance(event, Error) for event in events)
