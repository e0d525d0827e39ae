"""Frames that differ only in their words say the same as if each were read."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgw.events import BlockDelta, BlockStart, Event
from llmgw_dialects.anthropic_messages import DIALECT as ANTHROPIC
from llmgw_dialects.google_gemini import DIALECT as GEMINI
from llmgw_dialects.openai_chat import DIALECT as CHAT
from llmgw_dialects.openai_responses import DIALECT as RESPONSES
from llmgw_dialects.refrain import Refrain


def frame(text: str, **rest: Any) -> bytes:
    """A frame with a text, as a provider writes it."""
    return b"data: " + json.dumps({"type": "delta", "index": 0, "text": text, **rest}).encode() + b"\n\n"


def delta(text: str, index: int = 0, channel: Any = "text") -> BlockDelta:
    return BlockDelta(index=index, channel=channel, fragment=text)


def taught(*said: tuple[bytes, list[Event]]) -> Refrain:
    refrain = Refrain()
    for each in said:
        refrain.learn(*each)
    return refrain


def two() -> Refrain:
    """One that has seen two frames which differ only in their words."""
    return taught((frame("one"), [delta("one")]), (frame("two"), [delta("two")]))


def test_two_frames_show_where_the_words_are() -> None:
    """What follows them is read at once, up to the first that is another."""
    frames = [frame("three"), frame("vier \\ \u00fc"), frame("five", logprobs=[]), frame("six")]
    made = two().repeats(frames, "d")
    assert [delta("three"), delta("vier \\ \u00fc")] == made
    assert all(event.pristine and event.frame is not None and event.frame.data == data
               for event, data in zip(made, frames, strict=False))  # fmt: skip


def test_one_frame_shows_nothing() -> None:
    """Its text might stand in two places."""
    assert [] == taught((frame("one"), [delta("one")])).repeats([frame("two")], "d")


@pytest.mark.parametrize("second", [
    (frame("two", index=1), [delta("two", 1)]),
    (frame("two", type="thought"), [delta("two", 0, "reasoning_raw")]),
    (frame("two"), [delta("two"), delta("")]),
    (frame("two"), [BlockStart(index=1, kind="text")]),
    (frame("two", id="rotates"), [delta("two")]),
    (frame("one"), [delta("one")]),
], ids=["another block", "another channel", "says two things", "no words", "other bytes", "the same words"])  # fmt: skip
def test_frames_that_are_not_alike_show_nothing(second: tuple[bytes, list[Event]]) -> None:
    """Nor do they leave what was known before."""
    refrain = two()
    refrain.learn(frame("one"), [delta("one")])
    refrain.learn(*second)
    assert [] == refrain.repeats([frame("two"), frame("three")], "d")


def test_arguments_are_always_read() -> None:
    """A reader keeps them."""
    said = [(frame(text), [delta(text, 0, "args")]) for text in ("one", "two")]
    assert [] == taught(*said).repeats([frame("three")], "d")


@pytest.mark.parametrize("words", ['","', '"', "\\", "\\u12", "a\nb", "", '"],["', '","text":"'])
def test_bytes_between_the_quotes_that_are_no_text(words: str) -> None:
    """What was written raw between the quotes is not taken for words."""
    forged = frame("@").replace(b"@", words.encode())
    assert [] == two().repeats([forged], "d")
    assert [delta("three")] == two().repeats([frame("three"), forged, frame("four")], "d")


def test_what_interrupts_ends_it() -> None:
    """The next frames are read again."""
    refrain = two()
    refrain.forget()
    assert [] == refrain.repeats([frame("three")], "d")


def data(tree: Any) -> bytes:
    return b"data: " + json.dumps(tree, ensure_ascii=False).encode() + b"\n\n"


CHUNK = {"id": "c", "object": "chat.completion.chunk"}
MESSAGE = {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": []}
RESPONSE = {"id": "r", "object": "response", "output": []}
PLACE = {"output_index": 0, "content_index": 0, "item_id": "i"}
FRAMES: dict[str, tuple[Any, list[Any], Callable[[str, bool], Any], list[Any]]] = {
    "chat": (
        CHAT,
        [],
        lambda text, thought: CHUNK | {"choices": [{"index": 0, "delta": {"reasoning" if thought else "content": text}}]},
        [CHUNK | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}],
    ),
    "anthropic": (
        ANTHROPIC,
        [
            {"type": "message_start", "message": MESSAGE},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        ],
        lambda text, thought: {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "thinking_delta", "thinking": text} if thought else {"type": "text_delta", "text": text},
        },
        [
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}},
            {"type": "message_stop"},
        ],
    ),
    "gemini": (
        GEMINI,
        [],
        lambda text, thought: {
            "candidates": [{"content": {"role": "model", "parts": [{"text": text} | ({"thought": True} if thought else {})]}}]
        },
        [{"candidates": [{"content": {"role": "model", "parts": []}, "finishReason": "STOP"}]}],
    ),
    "responses": (
        RESPONSES,
        [{"type": "response.created", "response": RESPONSE | {"status": "in_progress"}}],
        lambda text, thought: {"type": f"response.{'refusal' if thought else 'output_text'}.delta", "delta": text} | PLACE,
        [{"type": "response.completed", "response": RESPONSE | {"status": "completed"}}],
    ),
}
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.sampled_from(["a", '"', "\\", ""])


@pytest.mark.parametrize("dialect", FRAMES)
@given(st.lists(st.tuples(words, st.sampled_from([False] * 6 + [True])), max_size=12))
def test_read_at_once_or_one_by_one(dialect: str, said: list[tuple[str, bool]]) -> None:
    """Frames that come in one piece say what they say when each is read."""
    codec, before, says, behind = FRAMES[dialect]
    stream = b"".join(data(tree) for tree in [*before, *(says(*each) for each in said), *behind])
    quick = read(codec, stream)
    with patch.object(Refrain, "repeats", lambda *_: []):
        assert read(codec, stream) == quick


def read(codec: Any, stream: bytes) -> list[tuple[Event, bytes | None]]:
    """The events of a stream, each with its frame."""
    reader = codec.reader(stream=True)
    events = [*reader.feed(stream), *reader.close()]
    return [(event, event.frame.data if event.frame is not None else None) for event in events]
