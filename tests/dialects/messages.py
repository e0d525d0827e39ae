"""Means for the tests of Anthropic Messages: streams and replies in a line or two."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from attrs import evolve

from llmgw.events import Event, Frame, Invariants, Raw
from llmgw.model import Prompt, Request
from llmgw.stages import Head, Reader
from llmgw_dialects.anthropic_messages import DIALECT

STREAM = Request(dialect=DIALECT.name, model="m", stream=True, stream_usage=True, prompt=Prompt())
WHOLE = Request(dialect=DIALECT.name, model="m", prompt=Prompt())
USAGE = {"input_tokens": 3, "output_tokens": 1}


def frame(kind: str, **fields: Any) -> bytes:
    """A frame."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def opening(**fields: Any) -> bytes:
    """A ``message_start``."""
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": []}
    return frame("message_start", message={**message, "stop_reason": None, "stop_sequence": None, "usage": USAGE, **fields})


def begin(index: int, kind: str, **fields: Any) -> bytes:
    """A ``content_block_start``."""
    return frame("content_block_start", index=index, content_block={"type": kind, **fields})


def more(index: int, kind: str, **fields: Any) -> bytes:
    """A ``content_block_delta``."""
    return frame("content_block_delta", index=index, delta={"type": kind, **fields})


def end(index: int) -> bytes:
    """A ``content_block_stop``."""
    return frame("content_block_stop", index=index)


def closing(reason: str | None = "end_turn", usage: dict[str, Any] | None = None, **fields: Any) -> bytes:
    """A ``message_delta``."""
    return frame(
        "message_delta", delta={"stop_reason": reason, "stop_sequence": None, **fields}, usage=usage or {"output_tokens": 7}
    )


DONE = frame("message_stop")
PING = frame("ping")


def text(index: int, *words: str) -> bytes:
    """All frames of a block of text."""
    return begin(index, "text", text="") + b"".join(more(index, "text_delta", text=one) for one in words) + end(index)


def call(index: int, ident: str, name: str, *pieces: str) -> bytes:
    """All frames of a tool call."""
    deltas = b"".join(more(index, "input_json_delta", partial_json=one) for one in pieces)
    return begin(index, "tool_use", id=ident, name=name, input={}) + deltas + end(index)


def body(*content: dict[str, Any], reason: str = "end_turn", **fields: Any) -> bytes:
    """A whole reply."""
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": list(content)}
    return json.dumps({**message, "stop_reason": reason, "stop_sequence": None, "usage": USAGE, **fields}).encode()


def feed(reader: Reader, *pieces: bytes) -> list[Event]:
    """All events that these bytes make."""
    events = [event for piece in pieces for event in reader.feed(piece)]
    return [*events, *reader.close()]


def lawful(events: list[Event]) -> list[Event]:
    """These events, which keep the laws."""
    invariants = Invariants()
    assert [broken for event in events if (broken := invariants.feed(event))] == []
    return events


def read(*frames: bytes) -> list[Event]:
    """The events of a stream, which keep the laws."""
    return lawful(feed(DIALECT.reader(stream=True), *frames))


def read_whole(data: bytes) -> list[Event]:
    """The events of a whole body."""
    return lawful(feed(DIALECT.reader(stream=False), data))


def relay(*frames: bytes) -> list[Event]:
    """The events of a relayed stream."""
    return feed(DIALECT.relay(stream=True), *frames)


def write(request: Request, events: Iterable[Event]) -> bytes:
    """What the client gets."""
    writer = DIALECT.writer(request)
    return b"".join(writer.feed(event) for event in events)


def objects(stream: bytes) -> list[Any]:
    """The JSON of a written stream's frames, each of which is named by its type."""
    out = []
    for one in stream.decode().split("\n\n")[:-1]:
        name, data = one.split("\n")
        out.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {out[-1]['type']}"
    return out


def request(**fields: Any) -> Request:
    """A request as a client might send it."""
    tree = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], **fields}
    return DIALECT.read_request(Head(), json.dumps(tree).encode())


def written(request: Request) -> Any:
    """The JSON that a provider gets."""
    return json.loads(DIALECT.write_request(request))


def bare(events: Iterable[Event]) -> list[Event]:
    """The same events, coming from nowhere; raw ones would print what they were."""
    return [evolve(event, frame=None) for event in events if not isinstance(event, Raw)]


def touched(events: Iterable[Event]) -> list[Event]:
    """The same events, none of them pristine."""
    return [evolve(event) for event in events]


def frames_of(events: Iterable[Event]) -> list[Frame]:
    """The frames of the events, each once."""
    found: list[Frame] = []
    for event in events:
        if event.frame is not None and (not found or found[-1] is not event.frame):
            found.append(event.frame)
    return found


def data_of(events: Iterable[Event]) -> bytes:
    """The bytes of the events' frames."""
    return b"".join(one.data for one in frames_of(events))
