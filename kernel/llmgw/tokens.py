"""How many tokens a prompt has, where nobody counts: a guess that rather says too many than too few.

Agents decide by it when to shorten a conversation, so too few is worse than too many. The rates are those of today's
tokenizers on what agents send, with a margin.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from llmgw import jsons
from llmgw.model import (
    JSON,
    Audio,
    Base64,
    Carrier,
    Compaction,
    Document,
    FunctionTool,
    Image,
    Item,
    ItemReference,
    OpaqueItem,
    OpaquePart,
    Part,
    PlainText,
    Prompt,
    Reasoning,
    Refusal,
    SearchResult,
    ServerToolCall,
    ServerToolResult,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    ToolSetChange,
    Video,
)

IMAGE: Final = 1600
"""Tokens of a picture: the most that a provider takes for one that it has made small enough."""
PAGE: Final = 2500
"""Tokens of a page of a document, text and picture of it."""
PAGE_BYTES: Final = 60_000
SECOND_OF_SOUND: Final = 32
BYTES_PER_SECOND: Final = 16_000
"""Of sound; a film has about eight times as many, and eight times the tokens."""
UNSEEN: Final = 1000
"""Tokens of what stands elsewhere, so that nobody knows how long it is."""
PROMPT: Final = 4
"""Tokens in which every prompt ends, to make the model speak."""
MESSAGE: Final = 5
TOOL: Final = 20
TOOLS: Final = 500
"""Tokens of what a provider says to a model as soon as there is any tool: as much as was counted where tools are optional."""
FORCED: Final = 80
"""Tokens of what it says besides where a tool must be called."""

# words with the space before them, numbers in threes, single letters of other scripts, line ends with their indentation, marks
_PIECES: Final = re.compile(r" ?[A-Za-z]{1,7}|[0-9]{1,3}|[^\x00-\x7f]|[^\S\n]{0,32}\n[^\S\n]{0,32}|[^\w\s]{1,2}|\s{1,32}|_{1,4}")
_RARE: Final = re.compile(r"[\U00010000-\U0010ffff]")  # emoji above all, which take two tokens or more
_MARGIN: Final = 1.05


Words = Callable[[str], int]
"""Tokens of a text."""


def estimated(prompt: Prompt, words: Words | None = None) -> int:
    """Tokens of a prompt, all of it: messages, tools, pictures, thoughts.

    Args:
        prompt: to be counted.
        words: counts a text, where somebody knows the model's own tokens.
    """
    return int((frame(prompt, words) + sum(each(prompt, words))) * _MARGIN)


def each(prompt: Prompt, words: Words | None = None) -> Sequence[int]:
    """Tokens of each item of a prompt, without the margin.

    Args:
        prompt: whose items they are.
        words: counts a text.
    """
    return [MESSAGE + _item(item, words or of_text) for item in prompt.items]


def frame(prompt: Prompt, words: Words | None = None) -> int:
    """Tokens of a prompt beside its items, tools above all, without the margin.

    Args:
        prompt: whose they are.
        words: counts a text.
    """
    words, total = words or of_text, PROMPT
    if prompt.tools:
        total += TOOLS + sum(TOOL + _tool(tool, words) for tool in prompt.tools)
        if prompt.tool_choice is not None and prompt.tool_choice.mode in ("required", "named"):
            total += FORCED
    if prompt.output is not None and prompt.output.schema is not None:
        total += _of_json(prompt.output.schema, words)
    return total


def of_text(text: str) -> int:
    """Tokens of a text."""
    return len(_PIECES.findall(text)) + len(_RARE.findall(text))


def _of_json(value: JSON, words: Words) -> int:
    return words(jsons.dumps(value).decode("utf-8", "surrogatepass"))


def _item(item: Item, words: Words) -> int:
    parts: Iterable[Part] = getattr(item, "parts", ())
    match item:
        case ToolResult() if item.structured is not None and not item.parts:
            return _of_json(item.structured, words)
        case ToolSetChange():
            return sum(TOOL + _tool(tool, words) for tool in item.added)
        case Compaction(carrier=Carrier(payload=payload)):
            return _opaque(payload)
        case ItemReference():
            return UNSEEN
        case OpaqueItem():
            return _of_json(item.raw, words)
        case _:
            return sum(_part(one, words) for one in parts)


def _part(part: Part, words: Words) -> int:
    match part:
        case Text() | Refusal():
            return words(part.text)
        case Reasoning():
            return _thought(part, words)
        case ToolCall():
            return TOOL + words(part.name) + words(part.arguments)
        case Image():
            return IMAGE
        case SearchResult():
            return words(part.title) + words(part.url) + sum(_part(one, words) for one in part.parts)
        case Document():
            return _document(part, words) + words(part.context or "") + words(part.filename or "")
        case Audio(blob=Base64(data=data)) | Video(blob=Base64(data=data)):
            return SECOND_OF_SOUND * (1 + len(data) * 3 // 4 // BYTES_PER_SECOND)
        case Audio(transcript=str(text)):
            return SECOND_OF_SOUND + 4 * words(text)  # spoken words take longer than written ones
        case ServerToolCall() | ServerToolResult():
            said = part.input if isinstance(part, ServerToolCall) else part.output
            return TOOL + _of_json(part.raw if part.raw is not None else said, words)
        case OpaquePart():
            return _of_json(part.raw, words)
        case _:
            return UNSEEN


def _thought(part: Reasoning, words: Words) -> int:
    shown = sum(words(one) for one in part.summary or part.raw_text)
    if part.carrier is None:
        return shown
    if shown and part.carrier.kind in ("signature", "thought_signature"):  # beside one stands the thought itself
        return shown
    return max(shown, _opaque(part.carrier.payload))  # beside what is encrypted stands a summary at most


def _opaque(payload: str) -> int:
    """An encrypted thought is about as long as the thought: four characters of base64 are three bytes, and so about a token."""
    return 1 + len(payload) // 4


def _document(part: Document, words: Words) -> int:
    match part.blob:
        case PlainText(text=text):
            return words(text)
        case tuple() as parts:
            return sum(_part(one, words) for one in parts)
        case Base64(data=data):
            return PAGE * (1 + len(data) * 3 // 4 // PAGE_BYTES)
        case _:
            return PAGE


def _tool(tool: Tool, words: Words) -> int:
    if isinstance(tool, FunctionTool):
        schema = 0 if tool.schema is None else _of_json(tool.schema, words)
        return words(tool.name) + words(tool.description or "") + schema
    told = [getattr(tool, name, None) for name in ("name", "kind", "label", "description", "definition")]
    return sum(words(one) for one in told if isinstance(one, str)) + sum(_tool(one, words) for one in getattr(tool, "tools", ()))
