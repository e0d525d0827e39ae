"""A model that answers with what a model would have seen: for the first minute, for tests, for load."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import ClassVar

from attrs import define, field

from llmgw import Backend, Event, Exchange, Gateway, ModelInfo, Request, Target, hookimpl
from llmgw.events import BlockDelta, BlockStart, BlockStop, ResponseEnd, ResponseStart, Stop, StopReason, Usage, UsageUpdate
from llmgw.model import Instruction, Item, Message, Part, Prompt, Text, Tool, ToolResult

_TOKEN = re.compile(r"\s*(?:\w+|[^\w\s])|\s+")


@define(eq=False, kw_only=True)
class Echo(Backend):
    """A model that answers with what a model would have seen; needs no key and no network.

    Its tokens are words and punctuation marks, and its usage counts exactly those.

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
        """Answer from what was asked, a token an event."""
        prompt = request.prompt
        tokens = _TOKEN.findall(seen(prompt))
        limit = prompt.sampling.max_output
        said = tokens if limit is None else tokens[:limit]
        usage = Usage(input_total=sum(len(_TOKEN.findall(text)) for text in _texts(prompt)), output_total=len(said))
        yield ResponseStart(id=f"echo-{exchange.id}", model=target.model, created=int(exchange.gateway.clock.time()))
        yield BlockStart(index=0, kind="text")
        for token in said:
            yield BlockDelta(index=0, channel="text", fragment=token)
        yield BlockStop(index=0)
        yield Stop(reason=StopReason("end" if len(said) == len(tokens) else "max_tokens"))
        yield UsageUpdate(usage=usage)
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
