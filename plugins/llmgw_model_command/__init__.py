"""Lets a person choose the conversation's model from inside the chat."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import aclosing
from hashlib import sha256

from attrs import define

from llmgw import Command, Exchange, Filter, Gateway, GatewayError, Reply, Request, hookimpl, next_step, resolve

_REQUEST = "model-command.request"
"""The note of an exchange that holds what the command was found in."""


@define(eq=False)
class ModelCommand:
    """Lets a person choose a conversation's model in the chat: ``!/model(NAME)``, and ``!/model()`` to take that back.

    The choice holds for the conversation, over workers and machines that share a state store. A conversation is known by the
    header ``x-session-id``, by an id that its client sends, or by how it begins, and by who is calling.

    Args:
        keep: seconds for which a choice holds after it was made.
    """

    keep: float = 7 * 86400.0

    @hookimpl
    def chat_commands(self, gateway: Gateway) -> Iterable[Command] | None:
        """Bring the word ``model``."""
        return [Command("model", self.choose, "the conversation's model from now on: !/model(NAME); !/model() takes it back")]

    @hookimpl
    def session_key(self, exchange: Exchange, request: Request) -> str | None:
        """Name the conversation."""
        exchange.notes[_REQUEST] = request
        return exchange.conversation(request)

    @hookimpl
    def open_filter(self, exchange: Exchange) -> Filter | None:
        """Ask the model that was chosen, where the conversation is known."""
        return _Chosen(exchange, _key(exchange)) if exchange.session is not None else None

    async def choose(self, exchange: Exchange, words: str) -> str:
        """Run the command."""
        name, state = words.strip(), exchange.gateway.state
        if exchange.session is None:
            return "This conversation cannot be told from others, so nothing was changed. Send a header x-session-id."
        if not name:
            await state.delete(_key(exchange))
            return "This conversation uses the model that its client asks for."
        request: Request = exchange.notes[_REQUEST]
        asked, exchange.asked = exchange.asked, name
        try:  # whether somebody knows it, and this caller may ask for it
            async with aclosing(resolve(exchange, request.with_model(name))) as route:
                await next_step(route, None)
        except GatewayError as error:
            return error.message
        finally:
            exchange.asked = asked
        await state.set(_key(exchange), name, self.keep)
        return f"This conversation uses {name} from now on."


class _Chosen(Filter):
    def __init__(self, exchange: Exchange, key: str) -> None:
        self._exchange = exchange
        self._key = key

    async def request(self, request: Request) -> Request | Reply:
        chosen = await self._exchange.gateway.state.get(self._key)
        if chosen is None:
            return request
        self._exchange.remark(f"the chat has chosen '{chosen}'")
        self._exchange.asked = chosen  # SECURITY: what a key may ask for is judged by this name from now on
        return request.with_model(chosen)


def _key(exchange: Exchange) -> str:
    """Of one caller alone; what a client has sent stands in it only as a digest."""
    name = exchange.principal.name if exchange.principal is not None else ""
    told = f"{len(name)}:{name}:{exchange.session}"
    return f"model-command:{sha256(told.encode('utf-8', 'surrogatepass')).hexdigest()[:40]}"
