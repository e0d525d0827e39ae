"""The steps of a conversation."""

from __future__ import annotations

from typing import Literal

from attrs import frozen

from llmgw.model.nodes import JSON, Node
from llmgw.model.parts import CacheMark, Carrier, Part
from llmgw.model.settings import ReasoningConfig
from llmgw.model.tools import Tool


@frozen(kw_only=True)
class Item(Node):
    """One step of the conversation; ``turn`` is the ordinal of the message it was read from."""

    turn: int = 0


@frozen(kw_only=True)
class Instruction(Item):
    """What the deployment tells the model; ``leading`` when it stands before any user or assistant item."""

    role: Literal["system", "developer"] = "system"
    parts: tuple[Part, ...] = ()
    name: str | None = None
    leading: bool = True
    origin: str | None = None
    cache: CacheMark | None = None
    clear_at: JSON = None
    effort: str | None = None


@frozen(kw_only=True)
class Message(Item):
    """What the user or the model said; the model's tool calls and reasoning are parts, in their order."""

    role: Literal["user", "assistant"]
    parts: tuple[Part, ...] = ()
    name: str | None = None
    phase: Literal["commentary", "final_answer"] | None = None
    id: str | None = None
    status: str | None = None


@frozen(kw_only=True)
class ToolResult(Item):
    """What a tool gave, for the call of the same id. ``structured`` is the result as an object, where it is one."""

    call_id: str
    parts: tuple[Part, ...] = ()
    name: str | None = None
    kind: Literal["function", "custom", "builtin"] = "function"
    is_error: bool | None = None
    structured: JSON = None
    scheduling: str | None = None
    cache: CacheMark | None = None
    id: str | None = None


@frozen(kw_only=True)
class ToolSetChange(Item):
    """Tools that come or go in the middle of a conversation."""

    added: tuple[Tool, ...] = ()
    removed: tuple[str, ...] = ()
    role: str | None = None


@frozen(kw_only=True)
class ConfigUpdate(Item):
    """Settings that change in the middle of a conversation."""

    reasoning: ReasoningConfig | None = None
    verbosity: str | None = None


@frozen(kw_only=True)
class Compaction(Item):
    """A provider's summary of what went before (``carrier``), or the request to make one (``trigger``)."""

    carrier: Carrier | None = None
    trigger: bool = False


@frozen(kw_only=True)
class ItemReference(Item):
    """An item that the provider keeps."""

    id: str


@frozen(kw_only=True)
class OpaqueItem(Item):
    """An item of a type we do not know; carried, never looked into."""

    dialect: str
    type: str
    raw: JSON
