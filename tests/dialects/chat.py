"""Means for the tests of Chat Completions: streams and replies in a line or two."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from attrs import evolve

from llmgw.events import Event, Frame, Invariants, Raw
from llmgw.model import Prompt, Request
from llmgw.stages import Head, Reader
from llmgw_dialects.openai_chat import DIALECT

STREAM = Request(dialect=DIALECT.name, model="m", stream=True, stream_usage=True, prompt=Prompt())
WHOLE = Request(dialect=DIALECT.name, model="m", prompt=Prompt())
DONE = b"data: [DONE]\n\n"


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, *, index: int = 0, **rest: Any) -> bytes:
    """A frame with one choice, or with what else is named."""
    choices = [] if delta is None else [{"index": index, "delta": delta, "finish_reason": finish}]
    return frame({"id": "c1", "created": 5, "model": "gpt", "choices": choices, **rest})


def frame(value: Any) -> bytes:
    """A frame with some JSON."""
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def body(message: dict[str, Any], finish: str | None = "stop", **rest: Any) -> bytes:
    """A whole reply."""
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return json.dumps({"id": "c1", "created": 5, "model": "gpt", "choices": [choice], **rest}).encode()


def feed(reader: Reader, *pieces: bytes) -> list[Event]:
    """All events that these bytes make."""
    events = [event for piece in pieces for event in reader.feed(piece)]
    return [*events, *reader.close()]


def read(*frames: bytes) -> list[Event]:
    """The events of a stream, which keep the laws."""
    events = feed(DIALECT.reader(stream=True), *frames)
    invariants = Invariants()
    assert [broken for event in events if (broken := invariants.feed(event))] == []
    return events


def read_whole(data: bytes) -> list[Event]:
    """The events of a whole body."""
    return feed(DIALECT.reader(stream=False), data)


def relay(*frames: bytes) -> list[Event]:
    """The events of a relayed stream."""
    return feed(DIALECT.relay(stream=True), *frames)


def write(request: Request, events: Iterable[Event]) -> bytes:
    """What the client gets."""
    writer = DIALECT.writer(request)
    return b"".join(writer.feed(event) for event in events)


def objects(stream: bytes) -> list[Any]:
    """The JSON of a written stream's frames."""
    lines = [line[6:] for line in stream.decode().split("\n") if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def request(**fields: Any) -> Request:
    """A request as a client might send it."""
    tree = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields}
    return DIALECT.read_request(Head(), json.dumps(tree).encode())


def bare(events: Iterable[Event]) -> list[Event]:
    """The same events, coming from nowhere; raw ones would print what they were."""
    return [evolve(event, frame=None) for event in events if not isinstance(event, Raw)]


def data_of(events: Iterable[Event]) -> bytes:
    """The bytes of the events' frames."""
    found: list[Frame] = []
    for event in events:
        if event.frame is not None and (not found or found[-1] is not event.frame):
            found.append(event.frame)
    return b"".join(one.data for one in found)
