"""Code Assist's requests as its server takes them: with the project that they count on, and nothing that it does not know."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from uuid import uuid4

from attrs import evolve

from llmgw import jsons
from llmgw.errors import UpstreamError
from llmgw.model import Loss, Request
from llmgw.splice import Kept, merged, splice
from llmgw_dialects.google_codeassist import GoogleCodeAssist
from llmgw_dialects.google_gemini.names import key_of
from llmgw_gemini_cli.inner import fitted

_STRAY: Final = re.compile(rb",(?:\s*,)+")
"""Commas that Code Assist's error bodies sometimes hold twice, which is no JSON (gemini-cli repairs them, too)."""
_SYSTEM: Final[Mapping[str, str]] = {"anthropic.messages": "system", "openai.responses": "instructions"}
"""How a system instruction is called by clients that are not Google's."""


class Envelope(GoogleCodeAssist):
    """Code Assist for one project.

    Args:
        project: the id of the project that requests count on.
    """

    def __init__(self, project: str = "") -> None:
        self.project = project

    def write_request(self, request: Request, losses: list[Loss] | None = None) -> bytes:
        """Write a request; of a client of one of Google's dialects all bytes are copied that Code Assist takes as they are.

        Source: gemini-cli, ``packages/core/src/code_assist/converter.ts``, and what version 0.61.0 sends.
        """
        found: list[Loss] = []
        asked = evolve(request, model=request.model.removeprefix("models/"), operation="generate")
        body = super().write_request(asked, found)
        tree = jsons.loads(body)
        inner = fitted(tree["request"], request.dialect, found)
        if inner is not None:
            body = splice(body, merged(tree, {"request": inner}))
        if request.operation == "count_tokens":
            body = _counted(body, asked, found)
        else:
            told = tree.get("user_prompt_id")
            named = {"project": self.project, "user_prompt_id": told if isinstance(told, str) else str(uuid4())}
            body = splice(body, merged(tree, named))
        if losses is not None:
            losses += found
        return body

    def forwarded(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """Nothing: whose quota is used is not the client's to say."""
        return {}

    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        """Classify an error, whose body may hold a comma too many."""
        try:
            jsons.loads(body)
        except jsons.JsonError:
            body = _STRAY.sub(b",", body) if body.lstrip()[:1] in (b"{", b"[") else body
        return super().read_error(status, headers, body)


def _counted(body: bytes, request: Request, found: list[Loss]) -> bytes:
    """The same, to be counted. Code Assist counts contents alone, so what is told beside them becomes turns before them."""
    inner = jsons.loads(body)["request"]
    first: list[Any] = []
    system = key_of(inner, "systemInstruction")
    if told := inner.get(system):
        parts = Kept(("request", system, "parts")) if isinstance(told, dict) and told.get("parts") else [{"text": str(told)}]
        first.append({"role": "user", "parts": parts})
        found.append(Loss(_SYSTEM.get(request.dialect, system), "system", "approximated", request.dialect, "contents"))
    if tools := inner.get("tools"):
        first.append({"role": "user", "parts": [{"text": jsons.dumps(tools).decode()}]})
        found.append(Loss("tools", "tools", "approximated", request.dialect, "contents"))
    rest = [Kept(("request", "contents", n)) for n in range(len(inner["contents"]))]
    return splice(body, {"request": {"model": f"models/{request.model}", "contents": [*first, *rest]}})
