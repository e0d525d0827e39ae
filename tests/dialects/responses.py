"""Means for the tests of Responses: streams and replies in a line or two."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from attrs import evolve

from llmgw.events import (
    BlockDelta,
    BlockKind,
    BlockMeta,
    BlockStart,
    BlockStop,
    Channel,
    Event,
    Frame,
    Invariants,
    Raw,
    ResponseEnd,
    ResponseStart,
    Stop,
    StopKind,
    StopReason,
    framed,
)
from llmgw.model import Loss, Prompt, Request
from llmgw.stages import Head, Reader
from llmgw_dialects.openai_responses import DIALECT

STREAM = Request(dialect=DIALECT.name, model="m", stream=True, stream_usage=True, prompt=Prompt())
WHOLE = Request(dialect=DIALECT.name, model="m", prompt=Prompt())
RESPONSE: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "created_at": 5,
    "model": "gpt",
    "output": [],
    "status": "in_progress",
}
USAGE: dict[str, Any] = {
    "input_tokens": 4, "input_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 0}, "output_tokens": 3,
    "output_tokens_details": {"reasoning_tokens": 2}, "total_tokens": 7,
}  # fmt: skip


class Stream:
    """Frames of a provider, numbered."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def add(self, kind: str, **fields: Any) -> Stream:
        """One more event."""
        tree = {"type": f"response.{kind}", "sequence_number": len(self.frames), **fields}
        self.frames.append(frame(tree))
        return self

    def created(self) -> Stream:
        """The response is announced."""
        return self.add("created", response=RESPONSE)

    def text(self, at: int, *fragments: str, ident: str = "", phase: str | None = None) -> Stream:
        """A message of one text."""
        ident, text = ident or f"msg_{at}", "".join(fragments)
        told = {} if phase is None else {"phase": phase}
        self.add("output_item.added", output_index=at, item=message(ident, **told) | {"status": "in_progress"})
        where = {"item_id": ident, "output_index": at, "content_index": 0}
        self.add("content_part.added", **where, part=output_text(""))
        for fragment in fragments:
            self.add("output_text.delta", **where, delta=fragment, logprobs=[])
        self.add("output_text.done", **where, text=text, logprobs=[])
        self.add("content_part.done", **where, part=output_text(text))
        return self.add("output_item.done", output_index=at, item=message(ident, text, **told))

    def call(self, at: int, name: str, *fragments: str, **told: Any) -> Stream:
        """A call of a function."""
        item = call(name, "", at, **told) | {"status": "in_progress"}
        self.add("output_item.added", output_index=at, item=item)
        for fragment in fragments:
            self.add("function_call_arguments.delta", item_id=item["id"], output_index=at, delta=fragment)
        text = "".join(fragments)
        self.add("function_call_arguments.done", item_id=item["id"], output_index=at, arguments=text)
        return self.add("output_item.done", output_index=at, item=call(name, text, at, **told))

    def end(self, *output: dict[str, Any], **fields: Any) -> Stream:
        """The response is complete."""
        kind = "incomplete" if fields.get("status") == "incomplete" else "completed"
        response = {**RESPONSE, "status": "completed", "output": list(output), "usage": USAGE, **fields}
        return self.add(kind, response=response)

    @property
    def data(self) -> bytes:
        """All of them."""
        return b"".join(self.frames)


def frame(tree: dict[str, Any]) -> bytes:
    """A frame with some JSON."""
    return b"event: " + tree["type"].encode() + b"\ndata: " + json.dumps(tree).encode() + b"\n\n"


def output_text(text: str, **more: Any) -> dict[str, Any]:
    """A content part."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": [], **more}


def message(ident: str, *texts: str, **more: Any) -> dict[str, Any]:
    """A message of the model's."""
    content = [output_text(text) for text in texts]
    return {"id": ident, "type": "message", "status": "completed", "role": "assistant", "content": content, **more}


def call(name: str, arguments: str, at: int = 0, **more: Any) -> dict[str, Any]:
    """A call of a function."""
    told = {"call_id": f"call_{at}", "name": name, "arguments": arguments}
    return {"id": f"fc_{at}", "type": "function_call", "status": "completed", **told, **more}


def body(*output: dict[str, Any], **rest: Any) -> bytes:
    """A whole reply."""
    return json.dumps({**RESPONSE, "status": "completed", "output": list(output), "usage": USAGE, **rest}).encode()


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


def write(request: Request, events: Iterable[Event], losses: list[Loss] | None = None) -> bytes:
    """What the client gets."""
    writer = DIALECT.writer(request, losses)
    return b"".join(writer.feed(event) for event in events)


def objects(stream: bytes) -> list[Any]:
    """The JSON of a written stream's frames."""
    return [json.loads(line[6:]) for line in stream.decode().split("\n") if line.startswith("data: {")]


def types(stream: bytes) -> list[str]:
    """What its frames are."""
    return [tree["type"].removeprefix("response.") for tree in objects(stream)]


def final(stream: bytes) -> dict[str, Any]:
    """The response in its last frame."""
    response: dict[str, Any] = objects(stream)[-1]["response"]
    return response


def request(stream: bool = False, **fields: Any) -> Request:
    """A request as a client might send it."""
    tree = {"model": "m", "input": "hi", **({"stream": True} if stream else {}), **fields}
    return DIALECT.read_request(Head(), json.dumps(tree).encode())


def read_input(*items: dict[str, Any], **fields: Any) -> Prompt:
    """A prompt of these items."""
    return request(input=list(items), **fields).prompt


def bare(events: Iterable[Event]) -> list[Event]:
    """The same events, coming from nowhere; raw ones would print what they were."""
    return [evolve(event, frame=None) for event in events if not isinstance(event, Raw)]


def foreign(*events: Event, dialect: str = "anthropic.messages") -> list[Event]:
    """The same events, each from a frame of another dialect."""
    return [made for event in events for made in framed([event], Frame(dialect, b"x"))]


def block(index: int, kind: BlockKind, *fragments: str, **meta: Any) -> list[Event]:
    """A block of fragments."""
    channels: dict[str, Channel] = {
        "tool_call": "args",
        "custom_tool_call": "input",
        "reasoning": "reasoning_summary",
        "refusal": "refusal",
        "media": "media",
    }
    deltas = [BlockDelta(index=index, channel=channels.get(kind, "text"), fragment=fragment) for fragment in fragments]
    return [BlockStart(index=index, kind=kind, meta=meta), *deltas, BlockStop(index=index)]


def reply(*blocks: list[Event], stop: StopKind = "end", **reason: Any) -> list[Event]:
    """The events of a whole answer."""
    start: list[Event] = [ResponseStart(id="r1", model="claude", created=7)]
    said = [event for one in blocks for event in one]
    return [*start, *said, Stop(reason=StopReason(stop, **reason)), ResponseEnd()]


def carried(events: list[Event], value: Any) -> list[Event]:
    """A block with opaque state, told before its end."""
    index = getattr(events[0], "index", 0)
    return [*events[:-1], BlockMeta(index=index, what="carrier", value=value), events[-1]]
