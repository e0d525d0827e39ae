"""Means for the tests of generateContent: streams and replies in a line or two."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from attrs import evolve

from llmgw.events import Event, Frame, Invariants, Raw
from llmgw.model import Prompt, ReasoningConfig, Request
from llmgw.stages import Head, Reader
from llmgw_dialects.google_gemini import DIALECT

ABOUT = ("groundingMetadata", "citationMetadata", "logprobsResult", "finishMessage", "continuationToken")
SHOWN = Prompt(reasoning=ReasoningConfig(show="auto"))
STREAM = Request(dialect=DIALECT.name, model="m", stream=True, prompt=SHOWN)
ARRAY = evolve(STREAM, headers={":framing": "array"})
WHOLE = Request(dialect=DIALECT.name, model="m", prompt=SHOWN)
HIDDEN = Request(dialect=DIALECT.name, model="m", stream=True, prompt=Prompt())


def head(method: str = "generateContent", model: str = "m", **query: str) -> Head:
    """What stands above a request."""
    operation: Any = "count_tokens" if method == "countTokens" else "generate"
    path = f"/v1beta/models/{model}:{method}"
    return Head(path=path, match={"model": model}, query=query, operation=operation)


def request(method: str = "generateContent", **fields: Any) -> Request:
    """A request as a client might send it."""
    tree = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}], **fields}
    return DIALECT.read_request(head(method, alt="sse"), json.dumps(tree).encode())


def reply(parts: list[Any] | None, finish: str | None = None, *, index: int = 0, **rest: Any) -> dict[str, Any]:
    """A response with one candidate, and with what else is named: keys of the candidate in lower camelCase first."""
    about = {key: rest.pop(key) for key in ABOUT if key in rest}
    candidate: dict[str, Any] = {"index": index, **about}
    if parts is not None:
        candidate["content"] = {"role": "model", "parts": parts}
    if finish is not None:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "modelVersion": "gemini", "responseId": "r1", **rest}


def chunk(parts: list[Any] | None = None, finish: str | None = None, *, index: int = 0, **rest: Any) -> bytes:
    """A frame with one candidate."""
    return frame(reply(parts, finish, index=index, **rest))


def frame(value: Any) -> bytes:
    """A frame with some JSON, as Google sends it."""
    return b"data: " + json.dumps(value).encode() + b"\r\n\r\n"


def body(parts: list[Any] | None, finish: str | None = "STOP", **rest: Any) -> bytes:
    """A whole reply."""
    return json.dumps(reply(parts, finish, **rest), indent=1).encode()


def array(*values: Any) -> bytes:
    """A stream that is one array, with Google's white space."""
    return b"[" + b"\n,\r\n".join(json.dumps(value, indent=1).encode() for value in values) + b"\n]"


def feed(reader: Reader, *pieces: bytes) -> list[Event]:
    """All events that these bytes make."""
    events = [event for piece in pieces for event in reader.feed(piece)]
    return [*events, *reader.close()]


def lawful(events: list[Event]) -> list[Event]:
    """Events that keep the laws."""
    invariants = Invariants()
    assert [broken for event in events if (broken := invariants.feed(event))] == []
    return events


def read(*pieces: bytes) -> list[Event]:
    """The events of a stream, which keep the laws."""
    return lawful(feed(DIALECT.reader(stream=True), *pieces))


def read_whole(data: bytes) -> list[Event]:
    """The events of a whole body."""
    return lawful(feed(DIALECT.reader(stream=False), data))


def relay(*pieces: bytes) -> list[Event]:
    """The events of a relayed stream."""
    return feed(DIALECT.relay(stream=True), *pieces)


def write(asked: Request, events: Iterable[Event]) -> bytes:
    """What the client gets."""
    writer = DIALECT.writer(asked)
    return b"".join(writer.feed(event) for event in events)


def objects(stream: bytes) -> list[Any]:
    """The JSON of a written stream's frames."""
    return [json.loads(line[6:]) for line in stream.decode().split("\r\n") if line.startswith("data: ")]


def parts(stream: bytes) -> list[Any]:
    """All parts of a written stream's first candidate, without the empty one of the last chunk."""
    found = [part for one in objects(stream) for part in _parts(one)]
    return [part for part in found if part != {"text": ""}]


def _parts(tree: dict[str, Any]) -> list[Any]:
    candidates = [one for one in tree.get("candidates", ()) if one.get("index", 0) == 0]
    return [part for one in candidates for part in one.get("content", {}).get("parts", ())]


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
