"""Means for laws on recorded generateContent traffic."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from attrs import evolve
from gemini import feed, head
from recordings import Recording, load

from llmgw.errors import GatewayError
from llmgw.events import Choice, Error, Event, Reply, fold
from llmgw.model import Carrier, Part, Prompt, Reasoning, Request, Text, ToolCall
from llmgw_dialects.google_gemini import DIALECT

NAME = "gemini"
METHODS = ("generateContent", "streamGenerateContent", "countTokens")


def requests() -> list[Recording]:
    """All recorded requests that say something."""
    return [one for one in load(NAME) if one.endpoint in METHODS and one.request not in (None, b"null")]


def read_request(one: Recording) -> Request:
    """A request as this dialect reads it."""
    assert one.request is not None
    return DIALECT.read_request(head(one.endpoint, alt="sse"), one.request)


def replies(framing: str) -> list[Recording]:
    """All recorded replies that came as ``sse``, ``array`` or ``whole``."""
    return [
        one for one in load(NAME)
        if one.status == 200 and one.endpoint in METHODS[:2] and framing_of(one) == framing and _ends(one)
    ]  # fmt: skip


def _ends(one: Recording) -> bool:
    """One recorded stream breaks off."""
    return b"inishReason" in one.body or b"blockReason" in one.body


def framing_of(one: Recording) -> str:
    """How a reply came."""
    return "sse" if one.stream else "array" if one.body.lstrip()[:1] == b"[" else "whole"


def events_of(one: Recording) -> list[Event]:
    """The events of a recorded reply."""
    return feed(DIALECT.reader(stream=framing_of(one) != "whole"), one.body)


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
    items = [
        evolve(item, **({"parts": tuple(map(evolve, item.parts))} if hasattr(item, "parts") else {})) for item in prompt.items
    ]
    return evolve(prompt, items=tuple(items), tools=tuple(map(evolve, prompt.tools)))


def told(reply: Reply) -> Reply:
    """A reply without what a writer makes up where the provider was silent, or says in another place.

    Args:
        reply: its ids of calls are written where there were none; in a stream a signature follows its text.
    """
    return evolve(reply, id=None, model=None, extras={}, choices=tuple(map(_choice, reply.choices)))


def _choice(choice: Choice) -> Choice:
    parts: list[Part] = []
    for part in map(_part, choice.parts):
        last = parts[-1] if parts else None
        if isinstance(part, Text) and isinstance(last, Text) and last.carrier is None:  # no wire has a seam between these
            parts[-1] = evolve(part, text=last.text + part.text, citations=last.citations + part.citations)
        else:
            parts.append(part)
    return evolve(choice, parts=tuple(parts))


def _part(part: Part) -> Part:
    if isinstance(part, ToolCall):
        return evolve(part, native_id=None)
    if isinstance(part, Text | Reasoning) and isinstance(part.carrier, Carrier):
        part = evolve(part, carrier=evolve(part.carrier, position="on"))
    return evolve(part, logprobs=None) if isinstance(part, Text) else part


def failed(events: list[Event]) -> bool:
    """Whether these events end in an error."""
    return any(isinstance(event, Error) for event in events)
