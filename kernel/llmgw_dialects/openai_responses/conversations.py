"""``previous_response_id`` for models of other providers: what was asked and answered is kept, and stands before the new input.

OpenAI keeps each response unless it is told not to (``store``), and a client that goes on from one sends only what is new.
Another provider knows nothing of it. So the items of a conversation are kept as this dialect writes them, under the id that the
client was told, and read again as if the client had sent them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from attrs import evolve

from llmgw import jsons
from llmgw.errors import ConversationNotFound
from llmgw.events import Error, Event, ResponseEnd
from llmgw.model import Instruction, Item, Prompt, RawDoc
from llmgw_dialects.crossing.legs import Heard, Leg, Step
from llmgw_dialects.openai_responses.bodies import Gathered
from llmgw_dialects.openai_responses.items import read_items
from llmgw_dialects.openai_responses.names import NAME

MOST: Final = 8 * 2**20
"""Bytes of a conversation that is kept; a longer one is forgotten, and going on from it is refused."""


class Conversations(Step):
    """Puts what went before in front of the input, and keeps what comes of it; it stands first, in the client's terms."""

    def __init__(self, leg: Leg) -> None:
        super().__init__(leg)
        tree = leg.request.raw.tree if leg.request.raw is not None else {}
        previous, given = tree.get("previous_response_id"), tree.get("input")
        self._previous: str | None = previous if isinstance(previous, str) and previous else None
        self._given: list[Any] = [{"role": "user", "content": given}] if isinstance(given, str) else given or []
        self._before: list[Any] = []
        self._found = False
        self._reply = Gathered(leg.request) if tree.get("store") is not False else None
        self._kept: dict[str, str] = {}

    @property
    def wanted(self) -> Sequence[str]:
        """The conversation that the request goes on from."""
        return [] if self._previous is None else [_key(self._previous)]

    def recall(self, found: Mapping[str, str]) -> None:
        """Take it."""
        if self._previous is not None and (text := found.get(_key(self._previous))) is not None:
            self._before, self._found = jsons.loads(text.encode()), True

    def prompt(self, prompt: Prompt) -> Prompt:
        """The prompt with all that was said before.

        Raises:
            ConversationNotFound: the id is none of ours, or has been forgotten.
        """
        if self._previous is None:
            return prompt
        if not self._found:
            raise ConversationNotFound(
                f"Previous response with id '{self._previous}' not found. This gateway keeps those of other providers' models "
                "for some hours. Send the whole conversation as input.",
                param="previous_response_id",
            )
        earlier = read_items({"input": self._before}, RawDoc(NAME, b"", tree={"input": self._before}))
        return evolve(
            prompt,
            items=_joined(earlier, prompt.items),
            server_state=evolve(prompt.server_state, previous_response_id=None),
        )

    @property
    def hears(self) -> Heard:
        """Everything, if it is to be kept."""
        return () if self._reply is None else (Event,)

    def back(self, event: Event) -> Iterable[Event]:
        """The event itself."""
        if self._reply is not None and not isinstance(event, Error):
            self._reply.feed(event)
            if isinstance(event, ResponseEnd):
                self._keep(self._reply.body(self.leg.request, {}))
        return (event,)

    @property
    def kept(self) -> Mapping[str, str]:
        """The conversation up to this reply."""
        return self._kept

    def _keep(self, body: dict[str, Any]) -> None:
        text = jsons.dumps([*self._before, *self._given, *body["output"]])
        if len(text) <= MOST:
            self._kept[_key(body["id"])] = text.decode()


def _joined(earlier: Sequence[Item], items: Sequence[Item]) -> tuple[Item, ...]:
    """What is new behind what was before; instructions are not carried over, and the new ones stay in front."""
    at = next((n for n, item in enumerate(items) if not (isinstance(item, Instruction) and item.leading)), len(items))
    return (*items[:at], *earlier, *items[at:])


def _key(ident: str) -> str:
    return f"response:{ident}"
