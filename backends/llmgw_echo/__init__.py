"""A model that answers with what a model would have seen: for the first minute, for tests, for load."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from typing import ClassVar

from attrs import define, field

from llmgw import Backend, Event, Exchange, Gateway, ModelInfo, Request, Target, hookimpl
from llmgw.events import BlockDelta, BlockStart, BlockStop, ResponseEnd, ResponseStart, Stop, StopReason, Usage, UsageUpdate
from llmgw.model import Instruction, Item, Message, Part, Prompt, Text, Tool, ToolResult

_TOKEN = re.compile(r"\s*+(?:\w+|[^\w\s])|\s+")

_SLICE = 2**15
"""Characters between two turns of everybody else; a longer word may be cut into several tokens."""
_UP_TO_A_TOKENS_END = re.compile(rf"\s{{0,{_SLICE}}}+(?:\w{{1,{_SLICE}}}|[^\w\s])|\s{{1,{_SLICE}}}")
_DELTAS = 2000
"""A longer reply has several tokens an event, so that it has about so many events."""
_TURN = 256
"""Events between two turns of everybody else."""


@define(eq=False, kw_only=True)
class Echo(Backend):
    """A model that answers with what a model would have seen; needs no key and no network.

    Its tokens are words and punctuation marks, and its usage counts exactly those. A long reply has several in an event.

    Args:
        models_listed: the names it answers to when no back-end is named; ``echo:anything`` is always answered.
    """

    last_resort: ClassVar[bool] = True

    name: str = "echo"
    models_listed: list[str] = field(factory=lambda: ["echo"])

    @hookimpl
    def backends(self, gateway: Gateway) -> Iterable[Backend] | None:
        """Only this one."""
        return [self]

    async def stream(self, exchange: Exchange, target: Target, request: Request) -> AsyncGenerator[Event, None]:
        """Answer from what was asked, a token an event, and often give others a turn."""
        prompt = request.prompt
        text, limit = seen(prompt), prompt.sampling.max_output
        asked, length = sum([await _count(one) for one in _texts(prompt)]), await _count(text)
        said = length if limit is None else min(limit, length)
        yield ResponseStart(id=f"echo-{exchange.id}", model=target.model, created=int(exchange.gateway.clock.time()))
        yield BlockStart(index=0, kind="text")
        async with aclosing(_fragments(text, said)) as fragments:
            async for fragment in fragments:
                yield BlockDelta(index=0, channel="text", fragment=fragment)
        yield BlockStop(index=0)
        yield Stop(reason=StopReason("end" if said == length else "max_tokens"))
        yield UsageUpdate(usage=Usage(input_total=asked, output_total=said))
        yield ResponseEnd()

    async def models(self, gateway: Gateway) -> Sequence[ModelInfo]:
        """The names it answers to."""
        return [ModelInfo(name, owned_by="llmgw") for name in self.models_listed]

    def serves(self, model: str) -> bool:
        """Only names it lists: whoever asks for another model should hear that it is not there."""
        return model in self.models_listed


def seen(prompt: Prompt) -> str:
    """What a model sees of a prompt, in words."""
    lines = ["This is echo, the model built into llmgw. A model would have seen:"]
    system = "\n".join(_words(item.parts) for item in prompt.items if isinstance(item, Instruction))
    lines.append(f"System prompt: {system or 'none'}")
    last = prompt.items[-1] if prompt.items else None
    lines.append(f"Last message ({_role(last)}): {_said(last)}")
    lines.append(f"Messages: {len(prompt.items)}")
    lines.append(f"Tools offered: {', '.join(_tool_name(tool) for tool in prompt.tools) or 'none'}")
    return "\n".join(lines)


# ---- tokens -------------------------------------------------------------------------------------


async def _count(text: str) -> int:
    """How many tokens a text has."""
    number = 0
    async with aclosing(_slices(text)) as slices:
        async for piece in slices:
            number += len(_TOKEN.findall(piece))
    return number


async def _fragments(text: str, number: int) -> AsyncGenerator[str, None]:
    """The first so many tokens of a text, joined where they are many."""
    size, given = max(1, -(-number // _DELTAS)), 0
    async with aclosing(_slices(text)) as slices:
        async for piece in slices:
            tokens = _TOKEN.findall(piece)[:number]
            for start in range(0, len(tokens), size):
                yield "".join(tokens[start : start + size])
                given += 1
                if given % _TURN == 0:
                    await asyncio.sleep(0)
            number -= len(tokens)
            if not number:
                return


async def _slices(text: str) -> AsyncGenerator[str, None]:
    """A text in slices that end where a token ends; others have a turn before each."""
    start = 0
    while start < len(text):
        found = _UP_TO_A_TOKENS_END.match(text, start + _SLICE)  # wherever it begins
        end = found.end() if found else len(text)
        if found:
            await asyncio.sleep(0)
        yield text[start:end]
        start = end


# ---- words --------------------------------------------------------------------------------------


def _role(item: Item | None) -> str:
    match item:
        case Message() | Instruction():
            return item.role
        case ToolResult():
            return f"tool, for {item.call_id}"
        case None:
            return "none"
        case _:
            return type(item).__name__


def _said(item: Item | None) -> str:
    return _words(item.parts) if isinstance(item, Message | Instruction | ToolResult) else "none"


def _words(parts: Iterable[Part]) -> str:
    """The text of parts; what is no text is named, not left out."""
    return " ".join(part.text if isinstance(part, Text) else f"[{type(part).__name__}]" for part in parts)


def _tool_name(tool: Tool) -> str:
    return str(getattr(tool, "name", None) or getattr(tool, "kind", None) or type(tool).__name__)


def _texts(prompt: Prompt) -> list[str]:
    return [_words(item.parts) for item in prompt.items if isinstance(item, Message | Instruction | ToolResult)] + [
        f"{_tool_name(tool)} {getattr(tool, 'description', None) or ''}" for tool in prompt.tools
    ]
