"""A command that people write in a chat: ``!/hello(Ann)``."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import define
from llmgw import Command, Exchange, Gateway, hookimpl


@define(eq=False)
class Hello:
    """Answers ``!/hello(NAME)`` in the chat, without asking a model.

    Args:
        greeting: the first word of the answer.
    """

    greeting: str = "Hello"

    @hookimpl
    def chat_commands(self, gateway: Gateway) -> Iterable[Command] | None:
        """The one word."""
        return [Command("hello", self._hello, "greets whoever is named")]

    async def _hello(self, exchange: Exchange, name: str) -> str:
        return f"{self.greeting}, {name or 'whoever you are'}!"
