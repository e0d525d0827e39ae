"""Where Z.ai's endpoints are: two regions, pay per use and the Coding Plan, three dialects (docs.z.ai, docs.bigmodel.cn)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from attrs import frozen

Region = Literal["international", "china"]


@frozen
class Place:
    """One region's URLs.

    Args:
        paid: Chat Completions, paid by use.
        plan: Chat Completions, paid by the Coding Plan.
        messages: Anthropic's dialect, for keys of both kinds.
        responses: OpenAI Responses; empty where there is no such endpoint.
    """

    paid: str
    plan: str
    messages: str
    responses: str = ""


PLACES: Final[Mapping[Region, Place]] = {
    "international": Place(
        "https://api.z.ai/api/paas/v4",
        "https://api.z.ai/api/coding/paas/v4",
        "https://api.z.ai/api/anthropic",
        "https://api.z.ai/api/v1",
    ),
    "china": Place(
        "https://open.bigmodel.cn/api/paas/v4",
        "https://open.bigmodel.cn/api/coding/paas/v4",
        "https://open.bigmodel.cn/api/anthropic",
    ),
}
VENDORS: Final = frozenset(url for place in PLACES.values() for url in (place.paid, place.plan))
"""Where nobody gets in without a key."""
