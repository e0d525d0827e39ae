"""What a provider keeps, who asks, and at what price: nothing of it means anything to another vendor.

What is needed to understand the request is a loss under the client's own path, which the loss policy refuses by default; an end
user's id crosses only as a hash.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any, Final

from attrs import evolve

from llmgw import jsons
from llmgw.model import Compaction, Item, ItemReference, Loss, Prompt, ServerState
from llmgw_dialects.crossing.legs import Step
from llmgw_dialects.crossing.opaque import OWN
from llmgw_dialects.crossing.revising import each, revised
from llmgw_dialects.crossing.vendors import ANTHROPIC, CHAT, OPENAI, RESPONSES, VENDORS
from llmgw_dialects.fields import spelled
from llmgw_dialects.ids import minted

_NEEDED: Final = {
    "previous_response_id": "previous_response_id", "conversation": "conversation", "background": "background",
    "prompt_template": "prompt", "cached_content": "cachedContent", "container": "container", "thread": "thread",
    "continuation": "continuationToken",
}  # fmt: skip
"""What refers to something that a provider keeps, with the one name that clients give it."""
_SESSION: Final = re.compile(r"_session_([A-Za-z0-9-]+)$")
_DEFAULT_TIERS: Final = ("auto", "default", "standard")


class State(Step):
    """Takes what concerns the client's vendor alone out of the request."""

    def prompt(self, prompt: Prompt) -> Prompt:
        """The prompt without it."""
        self._needed(prompt)
        changes: dict[str, Any] = {"server_state": self._state(prompt)}
        if self.leg.holds(prompt, Compaction, ItemReference):
            changes["items"] = each(prompt.items, self._item)
        if self.leg.target != RESPONSES:
            changes["include"] = frozenset()
        if prompt.cache.resource is not None:
            changes["cache"] = evolve(prompt.cache, resource=None)
        changes |= self._who(prompt) | self._tier(prompt) | self._told(prompt)
        changes = {name: value for name, value in changes.items() if value != getattr(prompt, name)}
        return revised(prompt, **changes)

    def _needed(self, prompt: Prompt) -> None:
        """What only the client's vendor has, under the client's own name for it: by default these losses are refused."""
        state = prompt.server_state
        given = {name: getattr(state, name) for name in _NEEDED}
        given["cached_content"] = given["cached_content"] or prompt.cache.resource
        for name, value in given.items():
            if value:
                self._lost(_NEEDED[name], f"server_state.{name}", value)

    def _item(self, item: Item) -> Item | None:
        """An item that the target can have; what refers to another vendor's memory goes."""
        carrier = item.carrier if isinstance(item, Compaction) else None
        foreign = carrier is not None and carrier.provider not in (OWN, VENDORS.get(self.leg.target))
        if not foreign and not isinstance(item, ItemReference):
            return item
        name = "item_reference" if isinstance(item, ItemReference) else "compaction"
        self._lost("input" if item.source is None else spelled(item.source.path), f"server_state.{name}", "")
        return None

    def _lost(self, path: str, feature: str, value: object) -> None:
        losses = self.leg.losses
        losses.found.append(Loss(path, feature, "dropped", value if isinstance(value, str) else "", self.leg.target))

    def _state(self, prompt: Prompt) -> ServerState:
        """Whether the provider is to keep the answer: never unasked."""
        store = prompt.server_state.store
        if self.leg.target == RESPONSES and "store" not in self.leg.profile.refuses:
            return ServerState(store=bool(store))
        return ServerState()

    def _who(self, prompt: Prompt) -> dict[str, Any]:
        """Who asks: between OpenAI's dialects as it is, elsewhere only so that the same user is known again."""
        user, safety_id = prompt.end_user, prompt.safety_id
        if not (user or safety_id):
            return {}
        dialect, target, refuses = self.leg.request.dialect, self.leg.target, self.leg.profile.refuses
        if dialect in OPENAI and target in OPENAI:
            return {
                "end_user": self._unless_refused("user", "end_user", user),
                "safety_id": self._unless_refused("safety_identifier", "safety_id", safety_id),
            }
        hashed = _hashed(safety_id or user or "")
        if target == ANTHROPIC:
            self.leg.losses.approximated("end_user", "an id", "its hash")
            return {"end_user": hashed, "safety_id": None}
        if target in OPENAI and "safety_identifier" not in refuses:
            self.leg.losses.approximated("end_user", "an id", "its hash")
            return {"end_user": None, "safety_id": hashed, **self._session(prompt)}
        self.leg.losses.dropped("end_user")
        return {"end_user": None, "safety_id": None}

    def _unless_refused(self, name: str, feature: str, value: str | None) -> str | None:
        if value is None or name not in self.leg.profile.refuses:
            return value
        self.leg.losses.dropped(feature)
        return None

    def _session(self, prompt: Prompt) -> dict[str, Any]:
        """The cache is best where a session's requests go to the same machine."""
        session = _session(prompt.end_user or "")
        if session is None or prompt.cache.key is not None or "prompt_cache_key" in self.leg.profile.refuses:
            return {}
        return {"cache": evolve(prompt.cache, key=minted("session-", session))}

    def _tier(self, prompt: Prompt) -> dict[str, Any]:
        """A tier has a price, and each vendor another one."""
        tier, target = prompt.tier, self.leg.target
        within = self.leg.request.dialect in OPENAI and target in OPENAI and "service_tier" not in self.leg.profile.refuses
        if tier is None or (within and (target == CHAT or tier != "scale")):  # which only Chat has
            return {}
        if tier.lower() not in _DEFAULT_TIERS:
            self.leg.losses.dropped("tier", tier)
        return {"tier": None}

    def _told(self, prompt: Prompt) -> dict[str, Any]:
        """What is noted beside the request: metadata, safety settings, how many calls."""
        out: dict[str, Any] = {}
        if prompt.metadata is not None and (self.leg.target not in OPENAI or "metadata" in self.leg.profile.refuses):
            out["metadata"] = None
            if prompt.metadata:
                self.leg.losses.dropped("metadata", ", ".join(sorted(prompt.metadata))[:80])
        if prompt.safety:
            out["safety"] = ()
            self.leg.losses.dropped("safety")
        if prompt.max_tool_calls is not None and self.leg.target != RESPONSES:
            out["max_tool_calls"] = None
            self.leg.losses.dropped("max_tool_calls", str(prompt.max_tool_calls))
        return out


def _hashed(ident: str) -> str:
    return "user-" + hashlib.sha256(b"llmgw:" + ident.encode("utf-8", "surrogatepass")).hexdigest()[:40]


def _session(user: str) -> str | None:
    """The session in what Claude Code tells of its user: JSON, or once a text of several ids."""
    if user.startswith("{"):
        try:
            told = jsons.loads(user.encode("utf-8", "surrogatepass"))
        except jsons.JsonError:
            return None
        session = told.get("session_id") if isinstance(told, dict) else None
        return session if isinstance(session, str) else None
    found = _SESSION.search(user)
    return found[1] if found else None
