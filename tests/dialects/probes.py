"""What each pair of dialects carries, found out by asking: one small request for each feature, and how it arrives.

Of this the table in ``docs/translation.md`` is made, and the tests in ``test_translation.py`` hold that nothing is lost without
being told.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

from attrs import field, frozen
from crossings import DIALECTS, asked

from llmgw.errors import ClientError
from llmgw.losses import LossPolicy
from llmgw.model import (
    Audio,
    Base64,
    BuiltinTool,
    CustomTool,
    Document,
    FunctionTool,
    Image,
    Instruction,
    Part,
    Prompt,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
    Url,
    texts,
)
from llmgw.stages import Head

Verdict = Literal["kept", "emulated", "approximated", "dropped", "refused", "lost"]
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PDF = "JVBERi0xLjQKJcOkw7zDtsOfCjEgMCBvYmoKPDw+PgplbmRvYmoKdHJhaWxlcgo8PD4+CiUlRU9G"
WAV = "UklGRiQAAABXQVZFZm10IBAAAAABAAEARKwAAIhYAQACABAAZGF0YQAAAAA="
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


@frozen
class Probe:
    """A feature.

    Args:
        name: for people.
        see: what to compare of the prompt as the client's dialect read it, and as the provider's dialect would.
        bodies: a request that has the feature, by the dialects that have it.
        models: to ask for, where not the usual ones.
    """

    name: str
    see: Callable[[Prompt], Any] = field(repr=False)
    bodies: Mapping[str, Mapping[str, Any]] = field(repr=False)
    models: Mapping[str, str] = field(factory=dict, repr=False)


@frozen
class Found:
    """How a feature gets from one dialect into another.

    Args:
        verdict: kept; else the worst that was told of it; ``lost`` where it differs and nothing was told.
        features: what was told.
    """

    verdict: Verdict
    features: tuple[str, ...] = ()


def tried(probe: Probe, front: str, back: str) -> Found:
    """Ask."""
    body = probe.bodies[front]
    try:
        crossed = asked(front, back, body, model=probe.models.get(back, ""), policy=LossPolicy())
    except ClientError as refused:
        return Found("refused", (refused.param or "",))
    before, after = probe.see(crossed.request.prompt), probe.see(read_back(back, crossed.data))
    told = [loss.action for loss in crossed.losses]
    features = tuple(dict.fromkeys(loss.feature for loss in crossed.losses))
    if before == after:
        return Found("kept", features)
    for verdict in ("dropped", "approximated", "emulated"):
        if verdict in told:
            return Found(verdict, features)
    return Found("lost")


def read_back(back: str, data: bytes) -> Prompt:
    """A provider's request, as its own dialect reads it."""
    dialect = DIALECTS[back]
    if back == "G":
        return dialect.read_request(Head("POST", "/v1beta/models/m:generateContent", {"model": "m"}), data).prompt
    return dialect.read_request(Head(), data).prompt


def attempts() -> Iterator[tuple[Probe, str, str]]:
    """Every feature, every pair that may have it."""
    for probe in PROBES:
        for front in probe.bodies:
            for back in DIALECTS:
                if back != front:
                    yield probe, front, back


# ---- what to look at ----------------------------------------------------------------------------


def _parts(prompt: Prompt) -> Iterator[Part]:
    for item in prompt.items:
        yield from getattr(item, "parts", ())


def _words(prompt: Prompt) -> Any:
    return [(type(item).__name__, getattr(item, "role", ""), texts(getattr(item, "parts", ()))) for item in prompt.items]


def _leading(prompt: Prompt) -> Any:
    return "\n".join(texts(item.parts) for item in prompt.items if isinstance(item, Instruction) and item.leading)


def _later(prompt: Prompt) -> Any:
    return [texts(item.parts) for item in prompt.items if isinstance(item, Instruction) and not item.leading]


def _blobs(kind: type[Part]) -> Callable[[Prompt], Any]:
    def see(prompt: Prompt) -> Any:
        blobs = [getattr(part, "blob", None) for part in _parts(prompt) if isinstance(part, kind)]
        return [blob.data if isinstance(blob, Base64) else blob.url if isinstance(blob, Url) else blob for blob in blobs]

    return see


def _calls(prompt: Prompt) -> Any:
    calls = [part for part in _parts(prompt) if isinstance(part, ToolCall)]
    results = {item.call_id: item for item in prompt.items if isinstance(item, ToolResult)}
    return [(call.name, call.kind, _json(call.arguments), _result(results.get(call.call_id))) for call in calls]


def _result(result: ToolResult | None) -> Any:
    return None if result is None else (texts(result.parts), bool(result.is_error), [type(part) for part in result.parts])


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _tools(prompt: Prompt) -> Any:
    kept = [tool for tool in prompt.tools if isinstance(tool, FunctionTool | CustomTool)]
    return [(type(tool).__name__, tool.name, tool.description, getattr(tool, "schema", None)) for tool in kept]


def _builtin(prompt: Prompt) -> Any:
    return [tool.kind for tool in prompt.tools if isinstance(tool, BuiltinTool)]


def _choice(prompt: Prompt) -> Any:
    choice = prompt.tool_choice
    return None if choice is None else (choice.mode, [ref.name for ref in choice.names], choice.inner_mode)


def _thoughts(prompt: Prompt) -> Any:
    return [(part.summary or part.raw_text, part.carrier) for part in _parts(prompt) if isinstance(part, Reasoning)]


def _marks(prompt: Prompt) -> Any:
    return [texts([part]) for part in _parts(prompt) if part.cache is not None]


def _output(prompt: Prompt) -> Any:
    output = prompt.output
    return None if output is None else (output.kind, output.schema)


def _of(path: str) -> Callable[[Prompt], Any]:
    def see(prompt: Prompt) -> Any:
        value: Any = prompt
        for step in path.split("."):
            value = getattr(value, step, None)
        return value or None

    return see


# ---- requests -----------------------------------------------------------------------------------


def _chat(*messages: Any, **rest: Any) -> dict[str, Any]:
    return {"messages": [*messages, {"role": "user", "content": "Hello"}], **rest}


def _responses(*items: Any, **rest: Any) -> dict[str, Any]:
    return {"input": [*items, {"role": "user", "content": [{"type": "input_text", "text": "Hello"}]}], **rest}


def _messages(*messages: Any, **rest: Any) -> dict[str, Any]:
    said = [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}]
    return {"max_tokens": 4096, "messages": [*messages, *said], **rest}


def _contents(*contents: Any, **rest: Any) -> dict[str, Any]:
    return {"contents": [*contents, {"role": "user", "parts": [{"text": "Hello"}]}], **rest}


def _all(chat: Any = None, responses: Any = None, messages: Any = None, contents: Any = None) -> dict[str, dict[str, Any]]:
    given = {"C": (_chat, chat), "S": (_responses, responses), "A": (_messages, messages), "G": (_contents, contents)}
    return {name: make(**rest) for name, (make, rest) in given.items() if rest is not None}


def _config(**fields: Any) -> dict[str, Any]:
    return {"generationConfig": fields}


def _tool(**rest: Any) -> dict[str, dict[str, Any]]:
    """A tool in each dialect, and what else each request has."""
    chat = {"type": "function", "function": {"name": "weather", "description": "Tells.", "parameters": SCHEMA}}
    return {
        "C": {"tools": [chat], **rest.get("C", {})},
        "S": {
            "tools": [{"type": "function", "name": "weather", "description": "Tells.", "parameters": SCHEMA, "strict": False}],
            **rest.get("S", {}),
        },
        "A": {"tools": [{"name": "weather", "description": "Tells.", "input_schema": SCHEMA}], **rest.get("A", {})},
        "G": {
            "tools": [{"functionDeclarations": [{"name": "weather", "description": "Tells.", "parametersJsonSchema": SCHEMA}]}],
            **rest.get("G", {}),
        },
    }


def _with_tools(only: str = "CSAG", **rest: Any) -> dict[str, dict[str, Any]]:
    given = _tool(**rest)
    made = _all(given["C"], given["S"], given["A"], given["G"])
    return {name: made[name] for name in only}


_ASK = {"C": {"role": "user", "content": "Go"}, "S": {"role": "user", "content": "Go"}, "A": {"role": "user", "content": "Go"},
        "G": {"role": "user", "parts": [{"text": "Go"}]}}  # fmt: skip


def _history(count: int, results: Mapping[str, Any] | None = None, only: str = "CSAG") -> dict[str, dict[str, Any]]:
    """Calls and their results, between two things the user says."""
    told = results or {"C": "sunny", "S": "sunny", "A": "sunny", "G": {"output": "sunny"}}
    args = [{"city": f"Rome {n}"} for n in range(count)]
    tools = _tool()
    out: dict[str, dict[str, Any]] = {}
    if "C" in only:
        calls = [
            {"id": f"call_{n}", "type": "function", "function": {"name": "weather", "arguments": json.dumps(one)}}
            for n, one in enumerate(args)
        ]
        answers = [{"role": "tool", "tool_call_id": f"call_{n}", "content": told["C"]} for n in range(count)]
        out["C"] = _chat(_ASK["C"], {"role": "assistant", "content": None, "tool_calls": calls}, *answers, **tools["C"])
    if "S" in only:
        items = [
            {"type": "function_call", "call_id": f"call_{n}", "name": "weather", "arguments": json.dumps(one)}
            for n, one in enumerate(args)
        ]
        answers = [{"type": "function_call_output", "call_id": f"call_{n}", "output": told["S"]} for n in range(count)]
        out["S"] = _responses(_ASK["S"], *items, *answers, **tools["S"])
    if "A" in only:
        uses = [{"type": "tool_use", "id": f"call_{n}", "name": "weather", "input": one} for n, one in enumerate(args)]
        wrong = {"is_error": True} if told.get("failed") else {}
        answers = [{"type": "tool_result", "tool_use_id": f"call_{n}", "content": told["A"], **wrong} for n in range(count)]
        out["A"] = _messages(
            _ASK["A"],
            {"role": "assistant", "content": uses},
            {"role": "user", "content": answers},
            {"role": "assistant", "content": "So."},
            **tools["A"],
        )
    if "G" in only:
        parts = [{"functionCall": {"id": f"call_{n}", "name": "weather", "args": one}} for n, one in enumerate(args)]
        answers = [{"functionResponse": {"id": f"call_{n}", "name": "weather", "response": told["G"]}} for n in range(count)]
        out["G"] = _contents(
            _ASK["G"],
            {"role": "model", "parts": parts},
            {"role": "user", "parts": answers},
            {"role": "model", "parts": [{"text": "So."}]},
            **tools["G"],
        )
    return out


_IMAGE_URL = "https://example.com/a.png"

PROBES: tuple[Probe, ...] = (
    Probe("text", _words, _all({}, {}, {}, {})),
    Probe(
        "system text",
        _leading,
        {
            "C": _chat({"role": "system", "content": "Be brief."}),
            "S": _responses(instructions="Be brief."),
            "A": _messages(system="Be brief."),
            "G": _contents(systemInstruction={"parts": [{"text": "Be brief."}]}),
        },
    ),
    Probe(
        "system text in the middle",
        _later,
        {
            "C": _chat(_ASK["C"], {"role": "assistant", "content": "Yes."}, {"role": "system", "content": "Be brief."}),
            "S": _responses(_ASK["S"], {"role": "assistant", "content": "Yes."}, {"role": "developer", "content": "Be brief."}),
            "A": _messages(_ASK["A"], {"role": "assistant", "content": "Yes."}, {"role": "system", "content": "Be brief."}),
        },
    ),
    Probe(
        "image",
        _blobs(Image),
        {
            "C": _chat(
                {"role": "user", "content": [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}]}
            ),
            "S": _responses({"role": "user", "content": [{"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"}]}),
            "A": _messages(
                {
                    "role": "user",
                    "content": [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}],
                }
            ),
            "G": _contents({"role": "user", "parts": [{"inlineData": {"mimeType": "image/png", "data": PNG}}]}),
        },
    ),
    Probe(
        "image by URL",
        _blobs(Image),
        {
            "C": _chat({"role": "user", "content": [{"type": "image_url", "image_url": {"url": _IMAGE_URL}}]}),
            "S": _responses({"role": "user", "content": [{"type": "input_image", "image_url": _IMAGE_URL}]}),
            "A": _messages({"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": _IMAGE_URL}}]}),
        },
    ),
    Probe(
        "PDF",
        _blobs(Document),
        {
            "C": _chat(
                {
                    "role": "user",
                    "content": [
                        {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}}
                    ],
                }
            ),
            "S": _responses(
                {
                    "role": "user",
                    "content": [{"type": "input_file", "filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}],
                }
            ),
            "A": _messages(
                {
                    "role": "user",
                    "content": [{"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}}],
                }
            ),
            "G": _contents({"role": "user", "parts": [{"inlineData": {"mimeType": "application/pdf", "data": PDF}}]}),
        },
    ),
    Probe(
        "sound",
        _blobs(Audio),
        {
            "C": _chat({"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": WAV, "format": "wav"}}]}),
            "G": _contents({"role": "user", "parts": [{"inlineData": {"mimeType": "audio/wav", "data": WAV}}]}),
        },
    ),
    Probe("tools", _tools, _with_tools()),
    Probe("a call and its result", _calls, _history(1)),
    Probe("parallel calls and their results", _calls, _history(3)),
    Probe("a result that says failure", _calls, _history(1, {"A": "boom", "G": {"error": "boom"}, "failed": True}, only="AG")),
    Probe(
        "an image in a result",
        _calls,
        _history(
            1,
            {
                "S": [
                    {"type": "input_text", "text": "see"},
                    {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"},
                ],
                "A": [
                    {"type": "text", "text": "see"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
                ],
            },
            only="SA",
        ),
    ),
    Probe(
        "a tool that must be called",
        _choice,
        _with_tools(
            C={"tool_choice": {"type": "function", "function": {"name": "weather"}}},
            S={"tool_choice": {"type": "function", "name": "weather"}},
            A={"tool_choice": {"type": "tool", "name": "weather"}},
            G={"toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["weather"]}}},
        ),
    ),
    Probe(
        "some tool must be called",
        _choice,
        _with_tools(
            C={"tool_choice": "required"},
            S={"tool_choice": "required"},
            A={"tool_choice": {"type": "any"}},
            G={"toolConfig": {"functionCallingConfig": {"mode": "ANY"}}},
        ),
    ),
    Probe(
        "no tool may be called",
        _choice,
        _with_tools(
            C={"tool_choice": "none"},
            S={"tool_choice": "none"},
            A={"tool_choice": {"type": "none"}},
            G={"toolConfig": {"functionCallingConfig": {"mode": "NONE"}}},
        ),
    ),
    Probe(
        "only these tools",
        _choice,
        _with_tools(
            "CS",
            C={
                "tool_choice": {
                    "type": "allowed_tools",
                    "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "weather"}}]},
                }
            },
            S={"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "weather"}]}},
        ),
    ),
    Probe(
        "one call at a time",
        _of("parallel_tools"),
        _with_tools(
            "CSA",
            C={"parallel_tool_calls": False},
            S={"parallel_tool_calls": False},
            A={"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
        ),
    ),
    Probe(
        "freeform tools",
        _tools,
        {
            "C": _chat(tools=[{"type": "custom", "custom": {"name": "patch", "description": "Patches."}}]),
            "S": _responses(tools=[{"type": "custom", "name": "patch", "description": "Patches."}]),
        },
    ),
    Probe(
        "tools in a namespace",
        _tools,
        {
            "S": _responses(
                tools=[
                    {
                        "type": "namespace",
                        "name": "maps",
                        "description": "Maps.",
                        "tools": [
                            {"type": "function", "name": "find", "description": "Finds.", "parameters": SCHEMA, "strict": False}
                        ],
                    }
                ]
            ),
        },
    ),
    Probe(
        "web search",
        _builtin,
        {
            "C": _chat(web_search_options={}),
            "S": _responses(tools=[{"type": "web_search"}]),
            "A": _messages(tools=[{"type": "web_search_20250305", "name": "web_search"}]),
            "G": _contents(tools=[{"googleSearch": {}}]),
        },
    ),
    Probe(
        "code execution",
        _builtin,
        {
            "S": _responses(tools=[{"type": "code_interpreter", "container": {"type": "auto"}}]),
            "A": _messages(tools=[{"type": "code_execution_20250825", "name": "code_execution"}]),
            "G": _contents(tools=[{"codeExecution": {}}]),
        },
    ),
    Probe(
        "MCP servers",
        lambda prompt: [getattr(tool, "label", None) for tool in prompt.tools],
        {
            "S": _responses(tools=[{"type": "mcp", "server_label": "docs", "server_url": "https://mcp.example.com"}]),
            "A": _messages(mcp_servers=[{"type": "url", "name": "docs", "url": "https://mcp.example.com"}]),
        },
    ),
    Probe(
        "another vendor's thoughts in the history",
        _thoughts,
        {
            "C": _chat(_ASK["C"], {"role": "assistant", "content": "Yes.", "reasoning_content": "Hm."}),
            "S": _responses(
                _ASK["S"],
                {
                    "type": "reasoning",
                    "id": "rs_1",
                    "summary": [{"type": "summary_text", "text": "Hm."}],
                    "encrypted_content": "gAAAAABn",
                },
                {"role": "assistant", "content": "Yes."},
            ),
            "A": _messages(
                _ASK["A"],
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "Hm.", "signature": "EqMBCkYIAhgCIkD"},
                        {"type": "text", "text": "Yes."},
                    ],
                },
            ),
            "G": _contents(_ASK["G"], {"role": "model", "parts": [{"text": "Hm.", "thought": True}, {"text": "Yes."}]}),
        },
    ),
    Probe(
        "effort of thinking",
        _of("reasoning.effort"),
        _all(
            {"reasoning_effort": "high"},
            {"reasoning": {"effort": "high"}},
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}},
            _config(thinkingConfig={"thinkingLevel": "HIGH"}),
        ),
        {"C": "gpt-5.2", "A": "claude-opus-4-6"},
    ),
    Probe(
        "budget of thinking",
        _of("reasoning.budget"),
        _all(
            messages={"thinking": {"type": "enabled", "budget_tokens": 2048}},
            contents=_config(thinkingConfig={"thinkingBudget": 2048}),
        ),
        {"C": "gpt-5.2", "A": "claude-sonnet-4-5", "G": "gemini-2.5-pro"},
    ),
    Probe(
        "JSON by schema",
        _output,
        _all(
            {"response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}},
            {"text": {"format": {"type": "json_schema", "name": "answer", "schema": SCHEMA}}},
            {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
            _config(responseMimeType="application/json", responseJsonSchema=SCHEMA),
        ),
    ),
    Probe(
        "JSON of any form",
        _output,
        _all(
            {"response_format": {"type": "json_object"}},
            {"text": {"format": {"type": "json_object"}}},
            None,
            _config(responseMimeType="application/json"),
        ),
    ),
    Probe(
        "most tokens",
        _of("sampling.max_output"),
        _all({"max_completion_tokens": 777}, {"max_output_tokens": 777}, {"max_tokens": 777}, _config(maxOutputTokens=777)),
    ),
    Probe(
        "temperature",
        _of("sampling.temperature"),
        _all({"temperature": 0.5}, {"temperature": 0.5}, {"temperature": 0.5}, _config(temperature=0.5)),
        {"S": "gpt-4.1"},
    ),
    Probe(
        "top_p", _of("sampling.top_p"), _all({"top_p": 0.5}, {"top_p": 0.5}, {"top_p": 0.5}, _config(topP=0.5)), {"S": "gpt-4.1"}
    ),
    Probe("top_k", _of("sampling.top_k"), _all(messages={"top_k": 5}, contents=_config(topK=5))),
    Probe("seed", _of("sampling.seed"), _all({"seed": 7}, None, None, _config(seed=7))),
    Probe(
        "penalties", _of("sampling.presence_penalty"), _all({"presence_penalty": 0.5}, None, None, _config(presencePenalty=0.5))
    ),
    Probe(
        "stop sequences",
        _of("sampling.stop"),
        _all({"stop": ["END"]}, None, {"stop_sequences": ["END"]}, _config(stopSequences=["END"])),
    ),
    Probe("several answers", _of("sampling.n"), _all({"n": 2}, None, None, _config(candidateCount=2))),
    Probe(
        "log probabilities",
        _of("sampling.logprobs"),
        _all(
            {"logprobs": True, "top_logprobs": 2},
            {"top_logprobs": 2, "include": ["message.output_text.logprobs"]},
            None,
            _config(responseLogprobs=True, logprobs=2),
        ),
        {"S": "gpt-4.1"},
    ),
    Probe("logit bias", _of("sampling.logit_bias"), _all({"logit_bias": {"50256": -100}})),
    Probe(
        "cache marks",
        _marks,
        {
            "C": _chat(
                {"role": "user", "content": [{"type": "text", "text": "Long.", "prompt_cache_breakpoint": {"mode": "explicit"}}]}
            ),
            "S": _responses(
                {
                    "role": "user",
                    "content": [{"type": "input_text", "text": "Long.", "prompt_cache_breakpoint": {"mode": "explicit"}}],
                }
            ),
            "A": _messages(
                {"role": "user", "content": [{"type": "text", "text": "Long.", "cache_control": {"type": "ephemeral"}}]},
                {"role": "assistant", "content": "So."},
            ),
        },
        {"C": "gpt-5.6", "S": "gpt-5.6"},
    ),
    Probe(
        "end user",
        lambda prompt: bool(prompt.end_user or prompt.safety_id),
        _all({"safety_identifier": "u1"}, {"safety_identifier": "u1"}, {"metadata": {"user_id": "u1"}}),
    ),
    Probe("metadata", _of("metadata"), _all({"metadata": {"k": "v"}}, {"metadata": {"k": "v"}}, None, {"labels": {"k": "v"}})),
    Probe(
        "a refusal in the history",
        lambda prompt: [part.text for part in _parts(prompt) if isinstance(part, Refusal | Text)],
        {
            "C": _chat(_ASK["C"], {"role": "assistant", "content": None, "refusal": "No."}),
            "S": _responses(
                _ASK["S"],
                {
                    "type": "message",
                    "role": "assistant",
                    "id": "msg_1",
                    "status": "completed",
                    "content": [{"type": "refusal", "refusal": "No."}],
                },
            ),
        },
    ),
    Probe(
        "a reply that the provider keeps",
        _of("server_state.previous_response_id"),
        _all(responses={"previous_response_id": "resp_1"}),
    ),
    Probe(
        "service tier",
        _of("tier"),
        _all({"service_tier": "flex"}, {"service_tier": "flex"}, {"service_tier": "standard_only"}, {"serviceTier": "flex"}),
    ),
)
"""All features, in the order of the table."""
