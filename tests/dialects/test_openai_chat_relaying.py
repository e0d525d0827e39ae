"""The fast path: frames pass unread, and yet failure is seen."""

from __future__ import annotations

import pytest
from chat import DONE, STREAM, body, chunk, data_of, feed, frame, relay, write

from llmgw.errors import UpstreamBroken, UpstreamRefused
from llmgw.events import Error, Event, Raw, ResponseEnd
from llmgw_dialects.openai_chat import DIALECT
from llmgw_testing import every_cut

FIRST = chunk({"role": "assistant", "content": ""})
TEXT = chunk({"content": "x"})
END = chunk({}, "stop") + DONE
ERROR = frame({"error": {"message": "busy", "code": 503}})


def ended(events: list[Event]) -> str:
    match events[-1]:
        case ResponseEnd():
            return "complete"
        case Error(error=UpstreamRefused(status=status)):
            return f"refused {status}"
        case Error(error=UpstreamBroken()):
            return "broken"
        case other:
            return type(other).__name__


@pytest.mark.parametrize(("stream", "passed", "end"), [
    (FIRST + TEXT + END, True, "complete"),
    (b": hi\n\n" + FIRST + chunk({"content": None}, "stop"), True, "complete"),
    (FIRST + TEXT + b"data:[DONE]\r\n\r\n", True, "complete"),
    (FIRST + TEXT + DONE[:-2], True, "complete"),
    (FIRST + TEXT + b'data: {"choices": [{"finish_reason" : "stop"}]}\n\n', True, "complete"),
    (FIRST + TEXT + chunk({}, ""), True, "broken"),
    (FIRST + TEXT, True, "broken"),
    (FIRST + chunk({"content": '"finish_reason": "stop" data: [DONE] \n\n data: [DONE]\n\n"error"'}), True, "broken"),
    (FIRST, False, "broken"),
    (b"", False, "broken"),
    (DONE, False, "broken"),
    (b": hi\n\n: hi\n\n", False, "broken"),
    (b"<html>no</html>", False, "broken"),
    (b"data: oops\n\n", False, "broken"),
    (ERROR, False, "refused 503"),
    (FIRST + ERROR + b": bye\n\n", False, "refused 503"),
    (b'{"error": {"message": "busy", "code": 503}}', False, "refused 503"),
    (FIRST + TEXT + ERROR + b": bye\n\n", True, "refused 503"),
    (FIRST + TEXT + b'event: error\ndata: {"message": "busy", "code": 503}\n\n', True, "refused 503"),
])  # fmt: skip
def test_a_relayed_stream_ends_as_it_should(stream: bytes, passed: bool, end: str) -> None:
    """However it is cut, all of a stream passes once something meaningful has come, and its end is known for what it is."""
    for pieces in every_cut(stream):
        events = relay(*pieces)
        assert end == ended(events), pieces
        assert (stream if passed else b"") == data_of(events)
        assert all(isinstance(event, Raw) for event in events[:-1])
        assert all(len(list(DIALECT.relay(stream=True).feed(piece))) <= 1 for piece in pieces)


def test_nothing_passes_before_it_means_something() -> None:
    """A role and comments are held back, so that a failure right behind them can still go elsewhere."""
    one = DIALECT.relay(stream=True)
    assert [] == [*one.feed(b": hi\n\n"), *one.feed(FIRST)]
    assert [b": hi\n\n" + FIRST + TEXT] == [event.frame.data for event in one.feed(TEXT) if event.frame]


def test_an_early_error_keeps_all_bytes() -> None:
    """An error before anything meaningful holds the stream from its start."""
    (event,) = relay(FIRST, ERROR, b"more")
    assert isinstance(event, Error) and isinstance(event.error, UpstreamRefused) and event.error.upstream is not None
    assert (FIRST + ERROR + b"more", 200) == (event.error.upstream.body, event.error.upstream.status)
    assert ERROR[6:-2] != b"" and b'{"error": {"message": "busy", "code": 503}}' == DIALECT.write_error(event.error)


def test_a_late_error_is_not_told_twice() -> None:
    """Once the client has the provider's own error frame, it gets no other."""
    stream = FIRST + TEXT + ERROR
    assert stream == write(STREAM, relay(stream))


def test_a_broken_stream_ends_in_an_error_frame_of_its_own() -> None:
    """A stream cut in the middle of a frame loses the rest of it, and the client gets an error it can read."""
    written = write(STREAM, relay(FIRST, TEXT, b'data: {"cho'))
    assert written.startswith(FIRST + TEXT + b'data: {"error":{"message":"')
    written = write(STREAM, relay(FIRST, TEXT, TEXT[:-2]))
    assert written.startswith(FIRST + TEXT + TEXT + b'data: {"error":')


def test_a_long_stream_is_searched_on_its_way() -> None:
    """The end is found in a stream of many blocks, wherever in it it stands."""
    assert "complete" == ended(relay(FIRST, chunk({"content": "x"}, "stop"), *[b": hi\n\n"] * 200))
    assert "broken" == ended(relay(FIRST, *[TEXT] * 200))


@pytest.mark.parametrize(("data", "end"), [
    (body({"content": "x"}), "complete"), (b"{}", "broken"), (b"<html>", "broken"), (b"", "broken"),
    (b'{"error":"busy"}', "refused 502"),
])  # fmt: skip
def test_a_whole_body_is_relayed_if_it_is_one(data: bytes, end: str) -> None:
    """A whole body passes as it is; what is no chat completion does not."""
    events = feed(DIALECT.relay(stream=False), data[:5], data[5:])
    assert (end, data if end == "complete" else b"") == (ended(events), data_of(events))
