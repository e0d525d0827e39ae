"""What a model answers: eleven kinds of event, and the reply they fold into.

Laws (``Invariants`` checks them):

1. ``ResponseStart`` comes first, once.
2. Exactly one of ``ResponseEnd`` and ``Error`` comes, and nothing after it.
3. A block's deltas and metas come between its start and its stop; its index is unique and counts up.
4. Each choice has its ``Stop`` before ``ResponseEnd``.
5. A stream that ends without a ``Stop`` ends in an ``Error``: a truncated reply never looks like success.

``Raw`` may come anywhere before the end. Where client and provider speak one dialect and nobody wants to look, a reader gives
``Raw`` and the end alone, each holding as many frames as came together.
"""

from __future__ import annotations

from llmgw.events.kinds import (
    BlockDelta,
    BlockKind,
    BlockMeta,
    BlockStart,
    BlockStop,
    Channel,
    Error,
    Event,
    Events,
    Frame,
    Progress,
    Raw,
    ResponseEnd,
    ResponseStart,
    Stop,
    StopKind,
    StopReason,
    Terminal,
    Usage,
    UsageUpdate,
    cut_short,
    framed,
    is_meaningful,
)
from llmgw.events.laws import (
    Invariants,
)
from llmgw.events.reply import (
    Accumulator,
    Choice,
    Reply,
    fold,
    unfold,
)

__all__ = [
    "Accumulator",
    "BlockDelta",
    "BlockKind",
    "BlockMeta",
    "BlockStart",
    "BlockStop",
    "Channel",
    "Choice",
    "Error",
    "Event",
    "Events",
    "Frame",
    "Invariants",
    "Progress",
    "Raw",
    "Reply",
    "ResponseEnd",
    "ResponseStart",
    "Stop",
    "StopKind",
    "StopReason",
    "Terminal",
    "Usage",
    "UsageUpdate",
    "cut_short",
    "fold",
    "framed",
    "is_meaningful",
    "unfold",
]
