"""Means for tests across dialects: a client's request as a provider gets it, a provider's reply as the client gets it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from attrs import define, field

from llmgw.events import Error, Event, Invariants, ResponseEnd
from llmgw.losses import LossPolicy
from llmgw.model import Loss, Profile, Request
from llmgw.stages import Crossing, Dialect, Head
from llmgw_dialects.anthropic_messages import DIALECT as A
from llmgw_dialects.google_gemini import DIALECT as G
from llmgw_dialects.openai_chat import DIALECT as C
from llmgw_dialects.openai_responses import DIALECT as S

DIALECTS: Mapping[str, Dialect] = {"C": C, "S": S, "A": A, "G": G}
PAIRS = [(front, back) for front in DIALECTS for back in DIALECTS if front != back]
MODELS = {"C": "gpt-4.1", "S": "gpt-5.2", "A": "claude-sonnet-4-5", "G": "gemini-3-pro"}
"""A model of each dialect, as its provider calls it."""


@define(eq=False)
class Asked:
    """A request on its way.

    Args:
        front: the client's dialect.
        back: the provider's.
        request: as the client's dialect read it.
        body: as the provider gets it.
        data: the same, to the byte.
        losses: what was not said.
        way: back again; None within one dialect.
        makes: another way like it, for a way is gone only once.
    """

    front: Dialect
    back: Dialect
    request: Request
    data: bytes = field(repr=False)
    losses: list[Loss]
    way: Crossing | None
    makes: Callable[[], Crossing | None] = field(default=lambda: None, repr=False)
    _gone: bool = field(default=False, init=False)

    @property
    def body(self) -> Any:
        """As the provider gets it."""
        return json.loads(self.data)

    @property
    def features(self) -> set[str]:
        """Names of what was lost."""
        return {loss.feature for loss in self.losses}

    def answered(self, data: bytes, *, stream: bool | None = None, cut: int = 0) -> bytes:
        """What the client gets of a provider's reply, whole or streamed as it asked.

        Args:
            data: the reply.
            stream: whether it is a stream; as the client asked, if not said.
            cut: bytes of a piece; 0 for all at once.
        """
        return written(self, self.events(data, stream=stream, cut=cut))

    def events(self, data: bytes, *, stream: bool | None = None, cut: int = 0) -> list[Event]:
        """The reply's events in the client's terms, up to the terminal one; they keep the laws."""
        reader = self.back.reader(stream=self.request.stream if stream is None else stream)
        pieces = [data[at : at + cut] for at in range(0, len(data), cut)] if cut else [data]
        laws, out, way = Invariants(), list[Event](), self.unused()
        for event in _read(reader, pieces):
            for made in (event,) if way is None else way.back(event):
                assert (broken := laws.feed(made)) is None, broken
                out.append(made)
                if isinstance(made, ResponseEnd | Error):
                    return out
        raise AssertionError("no terminal event")

    def unused(self) -> Crossing | None:
        """A way back that no reply has gone yet; it is ``way`` from now on."""
        if self._gone:
            self.way = self.makes()
        self._gone = True
        return self.way


def asked(
    front: str,
    back: str,
    body: Mapping[str, Any],
    *,
    stream: bool = False,
    model: str = "",
    profile: Profile | None = None,
    kept: Mapping[str, str] | None = None,
    policy: LossPolicy | None = None,
    headers: Mapping[str, str] | None = None,
) -> Asked:
    """A client's request, on its way to a provider.

    Args:
        front: the client's dialect: C, S, A or G.
        back: the provider's.
        body: without model and stream, which are added as the dialect wants them.
        stream: whether the client wants one.
        model: the provider's name of it; one of the dialect's, if not said.
        profile: of the model; what the dialect knows, if not said.
        kept: what earlier exchanges kept.
        policy: what may be lost; everything, if not said.
        headers: of the client.

    Raises:
        GatewayError: the request is refused.
    """
    one, other = DIALECTS[front], DIALECTS[back]
    request = one.read_request(*_said(front, body, stream, dict(headers or {}))).with_model(model or MODELS[back])

    def crossed(losses: list[Loss]) -> tuple[Crossing | None, Request]:
        way = other.crossing(request, profile or other.profile(request.model), losses)
        if way is None:
            return None, request
        way.recall({key: kept[key] for key in way.wanted if key in kept} if kept else {})
        return way, way.request()

    losses: list[Loss] = []
    way, said = crossed(losses)
    data = other.write_request(said, losses)
    judged = list((policy or LossPolicy({"*": "drop"})).judged(losses, one, back))
    return Asked(one, other, request, data, judged, way, lambda: crossed([])[0])


def written(asked: Asked, events: Iterable[Event]) -> bytes:
    """What the client gets of these events; an error that comes before anything else is written as a body."""
    writer = asked.front.writer(asked.request, asked.losses)
    out = b""
    for event in events:
        if isinstance(event, Error) and not out:
            return asked.front.write_error(event.error)
        out += writer.feed(event)
    return out


def _said(front: str, body: Mapping[str, Any], stream: bool, headers: dict[str, str]) -> tuple[Head, bytes]:
    if front == "G":
        method = "streamGenerateContent" if stream else "generateContent"
        head = Head("POST", f"/v1beta/models/m:{method}", {"model": "m"}, {"alt": "sse"} if stream else {}, headers)
        return head, json.dumps(body).encode()
    return Head("POST", "/", {}, {}, headers), json.dumps({"model": "m", **({"stream": True} if stream else {}), **body}).encode()


def _read(reader: Any, pieces: Iterable[bytes]) -> Iterable[Event]:
    for piece in pieces:
        yield from reader.feed(piece)
    yield from reader.close()
