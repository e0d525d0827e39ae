"""Media: what a provider takes, in the form that it takes."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from steps import stepped

from llmgw.model import (
    Audio,
    Base64,
    Document,
    FileId,
    FileUri,
    Image,
    Instruction,
    Message,
    PlainText,
    Prompt,
    Text,
    ToolCall,
    ToolResult,
    Url,
    Video,
)
from llmgw_dialects.crossing.media import Media

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(20)).decode()
JPEG = base64.b64encode(b"\xff\xd8\xff\xe0" + bytes(20)).decode()
PDF = base64.b64encode(b"%PDF-1.7" + bytes(20)).decode()
WORDS = base64.b64encode("héllo".encode()).decode()


def seen(way: str, part: Any, **rest: Any) -> tuple[Any, list[Any]]:
    """What becomes of a part beside a text, and what is lost."""
    made = stepped(Media, way, Prompt(items=(Message(role="user", parts=(Text("t"), part)),)), **rest)
    parts: Any = made.prompt.items[0].parts  # type: ignore[attr-defined]  # a message
    return (parts[1] if len(parts) > 1 else None), made.lost


@pytest.mark.parametrize(("given", "expected"), [
    (Base64("image/jpg", JPEG), Base64("image/jpeg", JPEG)), (Base64("image/png", JPEG), Base64("image/jpeg", JPEG)),
    (Base64("IMAGE/PNG", PNG), Base64("image/png", PNG)), (Base64("image/png;charset=x", PNG), Base64("image/png", PNG)),
    (Base64("image/png", PNG[:10] + "\r\n " + PNG[10:]), Base64("image/png", PNG)),
    (Base64("image/heic", "AAAA"), Base64("image/heic", "AAAA")), (Base64("image/jpg", "!!"), Base64("image/jpeg", "!!")),
    (Url(f"data:image/png,{PNG}"), None), (Url(f"data:image/png;x=y;base64,{PNG}"), Base64("image/png", PNG)),
])  # fmt: skip
@pytest.mark.parametrize("way", ["CA", "AC", "AG"])
def test_types_are_put_right(way: str, given: Any, expected: Any) -> None:
    """The bytes tell what a picture is, aliases are spelt out, and base64 has no spaces in it."""
    made, losses = seen(way, Image(given, detail="high"))
    if expected is None:  # a data URL of plain characters becomes base64
        expected = Base64("image/png", base64.b64encode(PNG.encode()).decode())
    assert (Image(expected, detail="high"), []) == (made, losses)


def test_what_is_right_stays() -> None:
    """Nothing is made anew without need."""
    prompt = Prompt(items=(Message(role="user", parts=(Image(Base64("image/png", PNG)), Text("x"))),))
    assert stepped(Media, "CA", prompt).prompt is prompt


@pytest.mark.parametrize(("way", "part", "lost"), [
    ("CA", Audio(Base64("audio/wav", "AAAA")), "input.audio"), ("CS", Audio(Base64("audio/wav", "AAAA")), "input.audio"),
    ("GC", Video(Base64("video/mp4", "AAAA")), "input.video"), ("AC", Image(Base64("image/png", PNG)), "input.image"),
    ("AC", Document(Base64("application/pdf", PDF)), "input.document"),
    ("CG", Image(Url("https://x.org/a.png")), "input.url"), ("CA", Image(Url("http://x.org/a.png")), "input.url"),
    ("SC", Document(Url("https://x.org/a.pdf")), "input.url"),
    ("SC", Image(FileId("file-1")), "input.file"),
    ("SA", Image(FileId("file-1")), "input.file"), ("AS", Document(FileId("file_1", "anthropic")), "input.file"),
    ("GC", Image(FileUri("https://generativelanguage.googleapis.com/v1beta/files/a")), "input.file"),
    ("GA", Document(FileUri("gs://bucket/a.pdf")), "input.file"),
    ("CA", Document(Base64("application/msword", "AAAA")), "input.document"),
])  # fmt: skip
def test_what_cannot_be_said(way: str, part: Any, lost: str) -> None:
    """What a provider does not take is a loss of its kind, which the loss policy refuses by default."""
    changes: Any = {"inputs": frozenset[str](), "url_inputs": frozenset[str]()} if way == "AC" else {}
    assert (None, [(lost, "dropped")]) == seen(way, part, **changes)


@pytest.mark.parametrize(("way", "given", "expected"), [
    ("CA", Image(Url("https://x.org/a.png")), Image(Url("https://x.org/a.png"))),
    ("AS", Document(Url("http://x.org/a.pdf")), Document(Url("http://x.org/a.pdf"))),
    ("CG", Image(Url("gs://b/a.png")), Image(FileUri("gs://b/a.png"))),
    ("CG", Video(Url("https://www.youtube.com/watch?v=1")), Video(FileUri("https://www.youtube.com/watch?v=1"))),
    ("GA", Image(FileUri("https://x.org/a.png")), Image(Url("https://x.org/a.png"))),
    ("SC", Document(FileId("f", "openai")), Document(FileId("f", "openai"))),
    ("AS", Document(Base64("application/msword", "AAAA")), Document(Base64("application/msword", "AAAA"))),
    ("CG", Document(Base64("application/octet-stream", PDF)), Document(Base64("application/pdf", PDF))),
    ("CG", Audio(Base64("audio/mp3", "AAAA")), Audio(Base64("audio/mpeg", "AAAA"))),
])  # fmt: skip
def test_what_can(way: str, given: Any, expected: Any) -> None:
    """URLs go to those who fetch them, files stay with their owner, and Google's storage is Google's."""
    assert (expected, []) == seen(way, given)


@pytest.mark.parametrize(("way", "given", "expected"), [
    ("AG", Document(PlainText("x"), filename="n.txt", context="c"), Text("n.txt\nc\n\nx")),
    ("AC", Document(PlainText("x")), Text("x")),
    ("CA", Document(PlainText("x"), filename="n"), Document(PlainText("x"), filename="n")),
    ("CA", Document(Base64("text/plain", WORDS), filename="n"), Document(PlainText("héllo"), media_type="text/plain",
    filename="n")),
    ("CG", Document(Base64("text/markdown; charset=utf-8", WORDS), filename="n"), Text("n\n\nhéllo")),
    ("CS", Document(Base64("application/json", WORDS)), Text("héllo")),
    ("AC", Document((Text("a"), Text("b")), filename="n"), Text("n\n\nab")),
    ("CA", Document((Text("a"),)), Document((Text("a"),))),
])  # fmt: skip
def test_documents_of_text(way: str, given: Any, expected: Any) -> None:
    """Anthropic has documents of text; everybody else reads the text, with its name above it."""
    made, losses = seen(way, given)
    assert expected == made and losses == ([("input.document", "emulated")] if isinstance(expected, Text) else [])


def test_no_base64_is_ever_text() -> None:
    """What says that it is text and is not stays what it is, or is lost."""
    made, losses = seen("CG", Document(Base64("text/plain", base64.b64encode(b"\xff\xfe\xfd").decode())))
    assert (None, [("input.document", "dropped")]) == (made, losses)
    made, losses = seen("AC", Document((Image(Base64("image/png", PNG)),)))
    assert (None, [("input.document", "dropped")]) == (made, losses)


@pytest.mark.parametrize(("way", "given", "expected", "lost"), [
    ("CS", Audio(id="audio_1", transcript="words"), Text("words"), [("input.audio", "emulated")]),
    ("CA", Audio(id="audio_1"), None, [("input.audio", "dropped")]),
    ("SC", Audio(id="audio_1"), Audio(id="audio_1"), []),
])  # fmt: skip
def test_what_was_said_aloud(way: str, given: Any, expected: Any, lost: Any) -> None:
    """An earlier spoken answer is known by its id only where it was given; elsewhere its words count."""
    assert (expected, lost) == seen(way, given)


def test_all_places_are_looked_at() -> None:
    """Results and instructions hold media too; a message of which nothing is left still stands."""
    bad = Image(Base64("image/jpg", JPEG))
    items = (
        Instruction(parts=(bad,)), ToolResult(call_id="c", parts=(bad,)), Message(role="user", parts=(Image(Url("https://x.org/a")),)),
        Message(role="assistant", parts=(ToolCall(call_id="c", name="f", arguments="{}"),)),
    )  # fmt: skip
    made: Any = stepped(Media, "CG", Prompt(items=items)).prompt.items
    assert "image/jpeg" == made[0].parts[0].blob.media_type == made[1].parts[0].blob.media_type
    assert (Text("(nothing that can be shown)"),) == made[2].parts and made[3] is items[3]
