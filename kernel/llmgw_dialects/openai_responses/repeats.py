"""Frames of a provider that announce and repeat: what they mean for what the client has got already."""

from __future__ import annotations

from typing import Any

from llmgw.events import BlockDelta, Event, Progress, Raw
from llmgw_dialects.openai_responses.building import Built, Call, Message, Piece, Thought
from llmgw_dialects.openai_responses.emitting import Emitter
from llmgw_dialects.openai_responses.names import dict_of, list_of, text_of


def note(emitter: Emitter, tree: dict[str, Any], place: int | None) -> None:
    """Take note that a frame was sent as it came, so that nothing in it is said again.

    Args:
        emitter: knows the items.
        tree: the frame's JSON.
        place: of the item that it is about.
    """
    if place is None:
        return
    kind, built = text_of(tree, "type"), emitter.at(place)
    if kind == "response.output_item.added":
        built = emitter.foresee(dict_of(tree, "item"), place) or built
        if built is not None:
            built.announced = True
    elif kind == "response.output_item.done":
        if built is not None:
            emitter.close(built, dict_of(tree, "item"))
    elif isinstance(built, Call):
        built.worded |= kind.endswith(".done")
    elif (piece := _piece(built, tree)) is not None:
        _note_piece(piece, kind)
        if "annotation" in tree:
            piece.citations.pop()
            piece.annotations.append(tree["annotation"])


def says_otherwise(tree: dict[str, Any], built: Built | None, group: list[Event]) -> bool:
    """Whether a frame repeats what the client has not got, because somebody left it out.

    Args:
        tree: the frame's JSON.
        built: the item that it is about, as the client has got it.
        group: the frame's events.
    """
    kind = text_of(tree, "type")
    if kind == "response.output_item.added" or "output_index" not in tree:
        return False
    if built is None:
        return all(isinstance(event, Raw | Progress) for event in group)
    more = "".join(event.fragment for event in group if isinstance(event, BlockDelta))
    match built:
        case Message() if kind == "response.output_item.done":
            told = "".join(text_of(part, "text") or text_of(part, "refusal") for part in list_of(tree.get("item"), "content"))
            return told != "".join(piece.said() for piece in built.pieces if isinstance(piece, Piece)) + more
        case Message():
            return kind.endswith(".done") and (not built.pieces or _said(tree) not in ("", _last_said(built) + more))
        case Thought() if kind.endswith("text.done"):
            piece = _piece(built, tree)
            return piece is None or piece.said() + more != text_of(tree, "text")
        case Call() if kind.endswith(("arguments.done", "input.done")):
            return built.said() + more not in ("", text_of(tree, "arguments") or text_of(tree, "input"))
        case Call() | Thought() if kind == "response.output_item.done":
            return _item_said(dict_of(tree, "item")) != _item_said(built.item("completed")) + more
        case _:
            return False


def _piece(built: Built | None, tree: dict[str, Any]) -> Piece | None:
    match built:
        case Message():
            piece = built.pieces[-1] if built.pieces else None
            return piece if isinstance(piece, Piece) else None
        case Thought():
            summary = "summary_index" in tree
            at = tree.get("summary_index" if summary else "content_index")
            piece, _ = built.piece("reasoning_summary" if summary else "reasoning_raw", at if isinstance(at, int) else 0)
            return piece
        case _:
            return None


def _note_piece(piece: Piece, kind: str) -> None:
    if kind.endswith("part.added"):
        piece.opened = True
    elif kind.endswith("part.done"):
        piece.opened = piece.worded = piece.closed = True
    elif kind.endswith(".done"):
        piece.opened = piece.worded = True
    elif kind.endswith(".delta"):
        piece.opened = True


def _said(tree: dict[str, Any]) -> str:
    part = dict_of(tree, "part")
    return text_of(tree, "text") or text_of(tree, "refusal") or text_of(part, "text") or text_of(part, "refusal")


def _last_said(built: Message) -> str:
    piece = built.pieces[-1] if built.pieces else None
    return piece.said() if isinstance(piece, Piece) else ""


def _item_said(item: dict[str, Any]) -> str:
    texts = [text_of(entry, "text") for key in ("summary", "content") for entry in list_of(item, key) if isinstance(entry, dict)]
    return "".join([text_of(item, "arguments") or text_of(item, "input"), *texts])
