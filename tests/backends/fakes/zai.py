"""Z.ai's three APIs, as strict as their documents and the SDK are (docs.z.ai/api-reference)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aiohttp import web
from attrs import define

from tests.backends.fakes.server import Came, FakeVendor, Refused, event, streamed

KEY = "4f1d2c3b4a59687786958473625140ff.Zq8SecretOfTheAccount"
PLAN_KEY = "0a9b8c7d6e5f41302918273645546372.Pq1SecretOfThePlan"
FIELDS = frozenset({
    "model", "messages", "stream", "stream_options", "thinking", "reasoning_effort", "do_sample", "temperature", "top_p",
    "max_tokens", "tool_stream", "tools", "tool_choice", "stop", "response_format", "request_id", "user_id",
})  # fmt: skip
ROLES = frozenset({"system", "user", "assistant", "tool"})
EFFORTS = frozenset({"none", "minimal", "low", "medium", "high", "xhigh", "max"})
NOTHING_LEFT = "Insufficient balance or no resource package. Please recharge."


def said(code: str, message: str) -> dict[str, Any]:
    """An error's body at Chat Completions and Responses."""
    return {"error": {"code": code, "message": message}}


def claude(code: str, message: str) -> dict[str, Any]:
    """The same at Messages."""
    return {
        "type": "error", "request_id": "20260922",
        "error": {"type": "rate_limit_error", "code": code, "message": f"[{code}][{message}][20260922]"},
    }  # fmt: skip


@define(eq=False)
class FakeZai(FakeVendor):
    """Both products of a region.

    Args:
        models: their names.
        says: the answer.
        thinks: the thoughts before it.
        calls: the arguments of a call of the first tool, in pieces, instead of an answer.
        lists: whether there is a list of models.
    """

    models: Iterable[str] = (
        "glm-5.3",
        "glm-5.2",
        "glm-5.1",
        "glm-5-turbo",
        "glm-4.7",
        "glm-4.6",
        "glm-4.5v",
        "glm-4-32b-0414-128k",
    )
    says: str = "Forty-two"
    thinks: str = ""
    calls: tuple[str, ...] = ()
    lists: bool = True

    async def answer(self, came: Came, request: web.Request) -> web.StreamResponse:
        """By the path."""
        match (came.method, came.path):
            case ("POST", "/api/paas/v4/chat/completions"):
                self._known(came, KEY)
                return await self._chat(came.json, request)
            case ("POST", "/api/coding/paas/v4/chat/completions"):
                self._known(came, PLAN_KEY)
                return await self._chat(came.json, request)
            case ("POST", "/api/anthropic/v1/messages"):
                self._known(came, KEY, PLAN_KEY)
                return await self._messages(came, request)
            case ("POST", "/api/v1/responses"):
                self._known(came, KEY, PLAN_KEY)
                return await self._responses(came.json, request)
            case ("GET", "/api/paas/v4/models") if self.lists:
                self._known(came, KEY)
                data = [{"id": name, "object": "model", "created": 1, "owned_by": "z-ai"} for name in self.models]
                return web.json_response({"object": "list", "data": data})
        raise Refused(404, {"code": 404, "msg": "404 NOT_FOUND", "success": False})

    def _known(self, came: Came, *good: str) -> None:
        told = came.headers.get("authorization", "")
        if not told:
            raise Refused(401, said("1001", "Authentication parameter not received in Header, unable to authenticate"))
        if told in {f"Bearer {key}" for key in good}:
            return
        if told in {f"Bearer {KEY}", f"Bearer {PLAN_KEY}"}:
            raise Refused(429, said("1113", NOTHING_LEFT))
        raise Refused(401, said("1000", "Authentication Failed"))

    # ---- Chat Completions

    async def _chat(self, tree: Any, request: web.Request) -> web.StreamResponse:
        self._checked(tree)
        head = {"id": "20260922", "request_id": "20260922", "created": 1, "model": tree["model"]}
        usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12, "prompt_tokens_details": {"cached_tokens": 4}}
        calls = self.calls if tree.get("tools") else ()
        finish = "tool_calls" if calls else "stop"
        if not tree.get("stream"):
            message: dict[str, Any] = {"role": "assistant", "content": self.says}
            if calls:
                message |= {"content": None, "tool_calls": [_call(tree, "".join(calls))]}
            if self.thinks:
                message["reasoning_content"] = self.thinks
            return web.json_response(
                {**head, "choices": [{"index": 0, "message": message, "finish_reason": finish}], "usage": usage}
            )
        deltas: list[dict[str, Any]] = [{"role": "assistant", "reasoning_content": one} for one in _halves(self.thinks)]
        if calls:
            pieces = calls if tree.get("tool_stream") else ("".join(calls),)
            deltas.append({"role": "assistant", "tool_calls": [{"index": 0, **_call(tree, pieces[0])}]})
            deltas += [{"tool_calls": [{"index": 0, "function": {"arguments": one}}]} for one in pieces[1:]]
        else:
            deltas += [{"role": "assistant", "content": one} for one in _halves(self.says)]
        chunks = [{**head, "choices": [{"index": 0, "delta": delta}]} for delta in deltas]
        last = {**head, "choices": [{"index": 0, "finish_reason": finish, "delta": {"role": "assistant", "content": ""}}]}
        return await streamed(request, *map(event, [*chunks, {**last, "usage": usage}]), b"data: [DONE]\n\n")

    def _checked(self, tree: Any) -> None:
        for name in tree.keys() - FIELDS:
            raise Refused(400, said("1214", f"Invalid {name} parameter. Please check the documentation"))
        if tree["model"] not in self.models:
            raise Refused(400, said("1211", "Unknown Model, please check the model code."))
        wrong = [name for name, is_good in self._fields(tree) if not is_good]
        if wrong:
            raise Refused(400, said("1214", f"Invalid {wrong[0]} parameter. Please check the documentation"))

    def _fields(self, tree: Any) -> Iterable[tuple[str, bool]]:
        for name in ("temperature", "top_p"):
            yield name, name not in tree or 0 < tree[name] < 1
        yield "messages", bool(tree["messages"]) and all(one["role"] in ROLES for one in tree["messages"])
        yield "tool_choice", tree.get("tool_choice", "auto") == "auto"
        yield "tools", all(one["type"] == "function" for one in tree.get("tools", [])) and len(tree.get("tools", [])) <= 128
        yield "stop", isinstance(tree.get("stop", []), list) and len(tree.get("stop", [])) <= 1
        yield "response_format", tree.get("response_format", {"type": "text"})["type"] in ("text", "json_object")
        yield "user_id", 6 <= len(tree.get("user_id", "nobody")) <= 128
        yield "max_tokens", isinstance(tree.get("max_tokens", 1), int) and tree.get("max_tokens", 1) >= 1
        yield "thinking", self._thinks(tree["model"], tree.get("thinking"))
        effort = tree.get("reasoning_effort")
        known = {"glm-5.3": {"low", "high", "max"}, "glm-5.2": EFFORTS}.get(tree["model"], set())
        yield "reasoning_effort", effort is None or effort in known

    @staticmethod
    def _thinks(model: str, thinking: Any) -> bool:
        if thinking is None:
            return True
        types = {"enabled"} if model == "glm-5.3" else {"enabled", "disabled"}
        return model != "glm-4-32b-0414-128k" and thinking["type"] in types and thinking.keys() <= {"type", "clear_thinking"}

    # ---- the other two

    async def _messages(self, came: Came, request: web.Request) -> web.StreamResponse:
        tree = came.json
        if came.headers.get("anthropic-version") != "2023-06-01" or "max_tokens" not in tree:
            raise Refused(400, claude("1213", "max_tokens parameter not received properly"))
        if tree["model"] not in self.models:
            raise Refused(400, claude("1211", "Unknown Model, please check the model code."))
        head = {"id": "msg_1", "type": "message", "role": "assistant", "model": tree["model"], "content": []}
        usage = {"input_tokens": 9, "output_tokens": 3}
        if not tree.get("stream"):
            content = [{"type": "text", "text": self.says}]
            return web.json_response(
                {**head, "content": content, "stop_reason": "end_turn", "stop_sequence": None, "usage": usage}
            )
        events: list[dict[str, Any]] = [
            {"type": "message_start", "message": {**head, "stop_reason": None, "stop_sequence": None, "usage": usage}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            *({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": one}}
              for one in _halves(self.says)),
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": usage},
            {"type": "message_stop"},
        ]  # fmt: skip
        return await streamed(request, *(event(one, one["type"]) for one in events))

    async def _responses(self, tree: Any, request: web.Request) -> web.StreamResponse:
        if "messages" in tree or not tree.get("input"):
            raise Refused(400, said("1213", "input parameter not received properly"))
        part = {"type": "output_text", "text": self.says, "annotations": []}
        item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}
        head = {"id": "resp_1", "object": "response", "created_at": 1, "model": tree["model"]}
        usage = {"input_tokens": 9, "output_tokens": 3, "total_tokens": 12}
        whole = {**head, "status": "completed", "output": [item], "usage": usage}
        if not tree.get("stream"):
            return web.json_response(whole)
        at = {"output_index": 0, "content_index": 0, "item_id": "msg_1"}
        events: list[dict[str, Any]] = [
            {"type": "response.created", "response": {**head, "status": "in_progress", "output": []}},
            {"type": "response.output_item.added", "output_index": 0, "item": {**item, "status": "in_progress", "content": []}},
            {"type": "response.content_part.added", **at, "part": {**part, "text": ""}},
            {"type": "response.output_text.delta", **at, "delta": self.says},
            {"type": "response.output_text.done", **at, "text": self.says},
            {"type": "response.content_part.done", **at, "part": part},
            {"type": "response.output_item.done", "output_index": 0, "item": item},
            {"type": "response.completed", "response": whole},
        ]
        return await streamed(request, *(event({**one, "sequence_number": n}, one["type"]) for n, one in enumerate(events)))


def _halves(text: str) -> list[str]:
    half = len(text) // 2
    return [one for one in (text[:half], text[half:]) if one]


def _call(tree: Any, arguments: str) -> dict[str, Any]:
    function = {"name": tree["tools"][0]["function"]["name"], "arguments": arguments}
    return {"id": "call_20260922", "type": "function", "function": function}
