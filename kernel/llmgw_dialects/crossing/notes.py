"""Words that the gateway adds for the model, where the provider has no setting for what the client wants.

They stand behind what the user said, never before it or among the instructions, so that what comes before keeps its bytes and
the provider's prompt cache.
"""

from __future__ import annotations

from attrs import evolve

from llmgw.model import Item, Message, Prompt, Text, ToolResult


def with_user(prompt: Prompt, words: str) -> Prompt:
    """The prompt with words at the end of what the user said last."""
    found = [number for number, item in enumerate(prompt.items) if isinstance(item, Message) and item.role == "user"]
    return _at(prompt, found[-1] if found else None, words)


def at_end(prompt: Prompt, words: str) -> Prompt:
    """The prompt with words at its very end: what the user said last, or a message of their own behind tool results."""
    last = prompt.items[-1] if prompt.items else None
    return _at(prompt, len(prompt.items) - 1 if isinstance(last, Message) and last.role == "user" else None, words)


def _at(prompt: Prompt, number: int | None, words: str) -> Prompt:
    items: list[Item] = list(prompt.items)
    if number is None:
        turn = items[-1].turn if items else 0
        items.append(Message(role="user", parts=(Text(words),), turn=turn if _is_users(items) else turn + 1))
    else:
        item = items[number]
        assert isinstance(item, Message), "only messages are looked for"
        items[number] = evolve(item, parts=(*item.parts, Text(words)))
    return evolve(prompt, items=tuple(items))


def _is_users(items: list[Item]) -> bool:
    return bool(items) and isinstance(items[-1], ToolResult)
