"""Commands in the chat: ``!/name(args)``, read only where a person typed.

SECURITY: a command is looked for in the text of the last message, if it is the user's, and nowhere else: never in tool results,
files, the assistant's text or the system prompt, which an attacker may have written. Fenced and quoted code does not count.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from attrs import evolve

from llmgw.events import Choice, Reply, StopReason, Usage
from llmgw.model import Message, Part, Request, Text
from llmgw.nearest import nearest
from llmgw.stages import Command

if TYPE_CHECKING:
    from llmgw.exchange import Exchange

PREFIX = "!/"
_TRACES = (b"!/", b"!\\/")  # the second as PHP writes it in JSON

_COMMAND = re.compile(re.escape(PREFIX) + r"([a-z][a-z0-9-]*)(?:\(([^()\n]*)\))?(?=[\s.,;]|$)")
_QUOTED = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|^>.*?$", re.DOTALL | re.MULTILINE)
_TAG = re.compile(r"<(/?)([a-z][\w-]*)>")


async def run(exchange: Exchange, request: Request) -> Request | Reply:
    """Run the commands in the last user message.

    Args:
        exchange: whose gateway has the commands.
        request: as the client sent it.

    Returns:
        The request without the commands; a reply when nothing else was said.
    """
    if request.raw is not None and not any(trace in request.raw.data for trace in _TRACES):
        return request
    items = request.prompt.items
    if not items or not isinstance(items[-1], Message) or items[-1].role != "user":
        return request
    answers: list[str] = []
    ran: list[Part] = [await _run_part(exchange, part, answers) if isinstance(part, Text) else part for part in items[-1].parts]
    if not answers:
        return request
    parts = [part for part in ran if not isinstance(part, Text) or part.text.strip()]
    if not parts:
        return _said("\n".join(answers), request.model)
    return request.with_prompt(items=(*items[:-1], evolve(items[-1], parts=tuple(parts))))


def found_in(request: Request) -> list[str]:
    """The commands in the last user message, as they were written; runs none of them."""
    if request.raw is not None and not any(trace in request.raw.data for trace in _TRACES):
        return []
    last = request.prompt.items[-1] if request.prompt.items else None
    typed = last.parts if isinstance(last, Message) and last.role == "user" else ()
    return [match[0] for part in typed if isinstance(part, Text) for match in _find(part.text)]


async def _run_part(exchange: Exchange, part: Text, answers: list[str]) -> Text:
    found = _find(part.text)
    if not found:
        return part
    left, done = [], 0
    for match in found:
        command = exchange.gateway.commands.get(match[1])
        answers.append(
            _unknown(match[1], exchange.gateway.commands) if command is None else await command.run(exchange, match[2] or "")
        )
        left.append(part.text[done : match.start()])
        done = match.end()
    left.append(part.text[done:])
    return evolve(part, text="".join(left).strip())


def _find(text: str) -> list[re.Match[str]]:
    """Commands outside of code, quotations and tagged blocks; the time grows no faster than the text, which may be a book."""
    if PREFIX not in text:
        return []
    found: list[re.Match[str]] = []
    quoted, until = sorted(_quoted(text), reverse=True), 0
    for match in _COMMAND.finditer(text):
        at = match.start()
        while quoted and quoted[-1][0] <= at:
            until = max(until, quoted.pop()[1])
        if at >= until and (at == 0 or text[at - 1].isspace()):
            found.append(match)
    return found


def _quoted(text: str) -> Iterator[tuple[int, int]]:
    """Where code, quotations and the tagged blocks that clients inject begin and end."""
    yield from (match.span() for match in _QUOTED.finditer(text))
    # SECURITY: a block ends with the last tag that closes it, for what stands in it may hold one that closes it early
    opened: dict[str, int] = {}
    closed: dict[str, int] = {}
    for tag in _TAG.finditer(text):
        if not tag[1]:
            opened.setdefault(tag[2], tag.start())
        elif tag[2] in opened:
            closed[tag[2]] = tag.end()
    yield from ((opened[name], end) for name, end in closed.items())


def _unknown(name: str, commands: dict[str, Command]) -> str:
    close = nearest(name, commands)
    hint = f" Did you mean {PREFIX}{close[0]}?" if close else ""
    return f"There is no command {PREFIX}{name}.{hint} There are: {', '.join(PREFIX + one for one in sorted(commands))}."


def _said(text: str, model: str) -> Reply:
    choice = Choice(parts=(Text(text),), stop=StopReason("end"))
    return Reply(id="llmgw-command", model=model, choices=(choice,), usage=Usage(input_total=0, output_total=0))
