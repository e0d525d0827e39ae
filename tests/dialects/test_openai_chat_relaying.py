"""The fast path: frames pass unread, and yet failure is seen."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

import pytest
from chat import DONE, STREAM, body, chunk, data_of, feed, frame, relay, write

from llmgw.errors import UpstreamBroken, UpstreamRefused
from llmgw.events import Error, Event, Raw, ResponseEnd
from llmgw.stages import Reader
from llmgw_dialects.openai_chat import DIALECT
from llmgw_testing import every_cut

FIRST = chunk({"role": "assistant", "content": ""})
TEXT = chunk({"content": "x"})
END = chunk({}, "stop") + DONE
SECOND = chunk({"content": "y"}, index=1)
CALL = chunk({"tool_calls": [{"index": 1, "id": "a", "function": {"name": "f", "arguments": ""}}]})
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
    (FIRST + TEXT + SECOND + chunk({}, "stop"), True, "broken"),
    (FIRST + TEXT + SECOND + chunk({}, "stop", index=1), True, "broken"),
    (FIRST + TEXT + SECOND + chunk({}, "stop", index=1) + chunk({}, "length"), True, "complete"),
    (FIRST + TEXT + SECOND + chunk({}, "stop") + DONE, True, "complete"),
    (SECOND + chunk({}, "stop", index=1), True, "complete"),
    (FIRST + CALL + chunk({}, "tool_calls"), True, "complete"),
    (FIRST + CALL + SECOND + chunk({}, "tool_calls"), True, "broken"),
    (b'data: {"choices": [{"delta": {"content": "x"}}]}\n\ndata: {"choices": [{"finish_reason": "stop"}]}\n\n', True, "complete"),
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
    (event,) = relay(FIRST, ERROR + b"more")
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
    assert "broken" == ended(relay(FIRST, SECOND, *[TEXT] * 200, chunk({}, "stop"), *[b": hi\n\n"] * 200))
    assert "complete" == ended(relay(FIRST, SECOND, chunk({}, "stop"), *[SECOND] * 200, chunk({}, "stop", index=1)))
    large = chunk({"content": "x" * 100_000})
    assert ["broken", "complete"] == [ended(relay(FIRST, large, chunk({}, stop), large)) for stop in (None, "stop")]


@pytest.mark.parametrize(("data", "end"), [
    (body({"content": "x"}), "complete"), (b"{}", "broken"), (b"<html>", "broken"), (b"", "broken"),
    (b'{"error":"busy"}', "refused 502"),
])  # fmt: skip
def test_a_whole_body_is_relayed_if_it_is_one(data: bytes, end: str) -> None:
    """A whole body passes as it is; what is no chat completion does not."""
    events = feed(DIALECT.relay(stream=False), data[:5], data[5:])
    assert (end, data if end == "complete" else b"") == (ended(events), data_of(events))


# ---- ends that are seen before the provider closes ------------------------------------------------


def attended(reader: Reader, pieces: Iterable[bytes]) -> list[Event]:
    """All events, if nothing is read once the reply has ended."""
    events: list[Event] = []
    for piece in pieces:
        if reader.ended or (events and isinstance(events[-1], ResponseEnd | Error)):
            break
        events += reader.feed(piece)
    return [*events, *reader.close()]


@pytest.mark.parametrize("way", ["reader", "relay"])
@pytest.mark.parametrize(("stream", "end"), [
    (FIRST + TEXT + END, "complete"),
    (FIRST + TEXT + END.replace(b"\n", b"\r\n"), "complete"),
    (FIRST + TEXT + ERROR + DONE, "refused 503"),
    (FIRST + TEXT + ERROR + frame({"choices": [], "usage": {}}) + DONE, "refused 503"),
])  # fmt: skip
def test_who_stops_at_the_end_has_all(way: str, stream: bytes, end: str) -> None:
    """Whoever reads only until the reply has ended gets each byte of it, however it is cut, and no byte of what follows."""
    for pieces in every_cut(stream):
        events = attended(getattr(DIALECT, way)(stream=True), [*pieces, b": never read\n\n"])
        assert (end, stream) == (ended(events), data_of(events)), pieces


@pytest.mark.parametrize("way", ["reader", "relay"])
def test_an_error_is_seen_at_once(way: str) -> None:
    """An error without ``[DONE]`` makes a reader fail but not end, so that what follows can be waited for a while."""
    reader = getattr(DIALECT, way)(stream=True)
    seen = []
    for piece in (FIRST, TEXT, ERROR[:-1], ERROR[-1:], frame({"usage": {}}), DONE[:-1], DONE[-1:]):
        list(reader.feed(piece))
        seen.append((reader.failing, reader.ended))
    assert [(False, False)] * 3 + [(True, False)] * 3 + [(True, True)] == seen
    assert "refused 503" == ended([*reader.close()])


def test_what_goes_through_is_watched() -> None:
    """A reply that is passed from socket to socket ends with ``[DONE]``, fails with an error, and is told at the close."""
    one = DIALECT.relay(stream=True)
    sent = data_of([*one.feed(FIRST + TEXT)])
    assert (True, False, False) == (one.passing, one.failing, one.ended)
    sent += one.through(ERROR + b": bye")
    assert (True, False) == (one.failing, one.ended)
    sent += one.through(b"\n\n" + DONE)
    assert (True, True) == (one.failing, one.ended)
    assert FIRST + TEXT + ERROR + b": bye\n\n" + DONE == sent
    (event,) = one.close()
    assert ("refused 503", b"") == (ended([event]), data_of([event]))


@pytest.mark.parametrize("way", ["reader", "relay"])
def test_an_error_does_not_hold_everything(way: str) -> None:
    """Whoever goes on and on behind an error is not listened to for more than a mebibyte."""
    reader = getattr(DIALECT, way)(stream=True)
    events = [*reader.feed(FIRST + TEXT), *reader.feed(ERROR)]
    for _ in range(20):
        if not reader.ended:
            events += reader.feed(TEXT[:-1] + b" " * 2**17)
    assert reader.ended
    events += reader.close()
    assert "refused 503" == ended(events) and 2**20 < len(data_of(events)) < 2**20 + 2**18


def test_an_early_error_is_waited_for_only_briefly() -> None:
    """An error before anything meaningful ends with ``[DONE]`` or the transport's patience, and loses nothing that came."""
    one = DIALECT.relay(stream=True)
    assert [] == [*one.feed(b": hi\n\n"), *one.feed(FIRST), *one.feed(ERROR)]
    assert (True, False) == (one.failing, one.ended)
    assert [] == [*one.feed(DONE)]
    assert one.ended
    (event,) = one.close()
    assert isinstance(event, Error) and isinstance(event.error, UpstreamRefused) and event.error.upstream is not None
    assert b": hi\n\n" + FIRST + ERROR + DONE == event.error.upstream.body


@pytest.mark.parametrize(("stream", "end"), [(FIRST + DONE, "complete"), (DONE, "broken"), (b": hi\n\n" + DONE, "broken")])
def test_an_early_end_is_told_at_once(stream: bytes, end: str) -> None:
    """A reply that says nothing, and that this was all, has ended."""
    one = DIALECT.relay(stream=True)
    events = [*one.feed(stream)]
    assert (end, stream if end == "complete" else b"") == (ended(events), data_of(events))
    assert (True, []) == (one.ended, [*one.close()])


@pytest.mark.parametrize("way", ["reader", "relay"])
def test_a_page_is_waited_for_only_briefly(way: str) -> None:
    """A page instead of a stream is a failure as soon as it can be told from one, and shows all that came of it."""
    reader = getattr(DIALECT, way)(stream=True)
    assert [] == [*reader.feed(b"<html><title>Down\n\n"), *reader.feed(b"</title>\n\n")]
    assert (True, False) == (reader.failing, reader.ended)
    (event,) = reader.close()
    assert isinstance(event, Error) and "titled “Down”" in event.error.message


@pytest.mark.parametrize("way", ["reader", "relay"])
def test_a_whole_body_ends_where_it_closes(way: str) -> None:
    """A whole body is never seen to end or to fail on its way."""
    reader = getattr(DIALECT, way)(stream=False)
    list(reader.feed(b'{"error": "busy"}'))
    assert (False, False) == (reader.failing, reader.ended)


@pytest.mark.parametrize("frames", [[b": hi\n\n"] * 1001, [b": " + b"x" * 2**17 + b"\n\n"] * 8])
def test_not_everything_is_held_back(frames: list[bytes]) -> None:
    """A thousand frames, or a mebibyte, pass though they say nothing; how the reply ends is known all the same."""
    one = DIALECT.relay(stream=True)
    assert [] == [event for piece in frames[:-1] for event in one.feed(piece)]
    events = [*one.feed(frames[-1])]
    assert one.passing and b"".join(frames) == data_of(events)
    assert "broken" == ended([*one.close()])
    assert "complete" == ended(relay(*frames, TEXT, END))


def test_relays_and_readers_agree_on_the_end() -> None:
    """Of the choices of a stream without ``[DONE]``, a relay knows as well as a reader whether all have ended."""
    chance = Random(1)
    for _ in range(300):
        finishes = [chunk({}, "stop", index=index) for index in range(3) if chance.random() < 0.8]
        said = [chunk({"content": "x"}, index=chance.randrange(3)) for _ in range(chance.randrange(1, 90))]
        frames = [CALL, *said, *finishes]
        events = feed(DIALECT.reader(stream=True), *frames)
        assert ended(events) == ended(relay(*frames)), frames
