"""Rules of the generateContent codec, each on a request or reply of a line or two."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import evolve
from gemini import (
    ARRAY,
    HIDDEN,
    STREAM,
    WHOLE,
    array,
    body,
    chunk,
    feed,
    frame,
    head,
    objects,
    parts,
    read,
    read_whole,
    relay,
    request,
    write,
)

from llmgw.errors import BadRequest, InvalidField, TooMany, UpstreamBroken, UpstreamRefused
from llmgw.events import (
    BlockDelta,
    BlockMeta,
    BlockStart,
    BlockStop,
    Error,
    Event,
    Raw,
    ResponseEnd,
    ResponseStart,
    Stop,
    StopReason,
    fold,
)
from llmgw.model import (
    Carrier,
    Citation,
    Instruction,
    Loss,
    Message,
    Part,
    Prompt,
    Reasoning,
    Request,
    Text,
    ToolCall,
    ToolResult,
)
from llmgw_dialects import envelope
from llmgw_dialects.google_gemini import DIALECT, method


def said(items: Any, **fields: Any) -> list[Any]:
    """The items of a request with these contents."""
    return list(request(contents=items, **fields).prompt.items)


def call(name: str, args: Any = None, **rest: Any) -> dict[str, Any]:
    """A part that calls."""
    return {"functionCall": {"name": name, "args": args or {}, **rest}}


def answer(name: str, response: Any, **rest: Any) -> dict[str, Any]:
    """A part that answers."""
    return {"functionResponse": {"name": name, "response": response, **rest}}


def told(prompt: Prompt, losses: list[Loss] | None = None) -> Any:
    """A prompt, written from scratch."""
    return json.loads(DIALECT.write_request(Request(dialect="x", model="m", prompt=prompt), losses))


def parts_of(reply: list[Event], choice: int = 0) -> tuple[Part, ...]:
    """The parts of a reply's choice."""
    return fold(reply).choices[choice].parts


# ---- where a request goes -----------------------------------------------------------------------


def test_model_and_method_stand_in_the_path() -> None:
    """A model's name may have slashes and colons; the method is what stands behind the last colon."""
    made = head("streamGenerateContent", "org/model:free", alt="sse")
    asked = DIALECT.read_request(made, b'{"contents":[{"parts":[{"text":"hi"}]}]}')
    assert ("org/model:free", True, "generate") == (asked.model, asked.stream, asked.operation)
    bare = evolve(made, match={}, path="/v1beta/models/a%2Fb:generateContent")  # type: ignore[misc]
    assert "a/b" == DIALECT.read_request(bare, b'{"contents":[{}]}').model


def test_a_stream_without_alt_is_an_array() -> None:
    """What framing the client wants is known to the writer and to the back-end, and told to no provider."""
    asked = DIALECT.read_request(head("streamGenerateContent"), b'{"contents":[{}]}')
    assert ("streamGenerateContent", {}) == (method(asked), DIALECT.forwarded(asked.headers))
    assert b"[]" == write(asked, [ResponseEnd()])
    assert "streamGenerateContent?alt=sse" == method(request("streamGenerateContent"))
    assert ("generateContent", "countTokens") == (method(request()), method(request("countTokens")))


@pytest.mark.parametrize(("data", "error"), [
    (b"{", BadRequest), (b"[]", BadRequest), (b"{}", InvalidField), (b'{"contents":[]}', InvalidField),
    (b'{"contents":"hi"}', InvalidField), (b'{"contents":[5]}', InvalidField),
])  # fmt: skip
def test_what_is_no_request_is_refused(data: bytes, error: type[Exception]) -> None:
    """A body that says nothing is the client's fault, and told so at once."""
    with pytest.raises(error):
        DIALECT.read_request(head(), data)


def test_a_count_may_name_its_model() -> None:
    """A whole request may be counted; of another dialect it is written so."""
    asked = DIALECT.read_request(
        head("countTokens"), b'{"generateContentRequest":{"model":"models/m","contents":[{"parts":[{"text":"hi"}]}]}}'
    )
    assert (Text("hi"),) == asked.prompt.items[0].parts  # type: ignore[attr-defined]
    assert b'"model":"models/n"' in DIALECT.write_request(asked.with_model("n"))
    foreign = evolve(asked, dialect="x", raw=None, prompt=asked.prompt, operation="count_tokens")
    written = json.loads(DIALECT.write_request(foreign))["generateContentRequest"]
    assert ["models/m", [{"role": "user", "parts": [{"text": "hi"}]}]] == [written["model"], written["contents"]]


# ---- reading requests ---------------------------------------------------------------------------


def test_both_spellings_are_read_and_kept() -> None:
    """Snake case is understood at every level, and an edit keeps it."""
    asked = request(
        system_instruction={"parts": {"text": "be"}},
        generation_config={"top_p": 0.5, "thinking_config": {"include_thoughts": True}},
        tools={"function_declarations": [{"name": "f", "parameters": {"type": "OBJECT"}}]},
    )
    prompt = asked.prompt
    assert (0.5, "auto") == (prompt.sampling.top_p, prompt.reasoning.show)
    assert isinstance(prompt.items[0], Instruction) and (Text("be"),) == prompt.items[0].parts
    changed = evolve(prompt, sampling=evolve(prompt.sampling, top_p=0.25))
    written = json.loads(DIALECT.write_request(evolve(asked, prompt=changed)))
    assert {"top_p": 0.25, "thinking_config": {"include_thoughts": True}} == written["generation_config"]


def test_results_find_their_calls() -> None:
    """By id, else the first open call of the function, else the first: ids that are missing are minted, always the same."""
    contents = [
        {"role": "model", "parts": [call("f", {"n": 1}), call("f", {"n": 2}), call("g", id="own")]},
        {
            "role": "user",
            "parts": [answer("g", {"output": "G"}, id="own"), answer("f", {"output": "1"}), answer("f", {"output": "2"})],
        },
    ]
    model, *results = said(contents)
    first, second, third = model.parts
    assert ["own", first.call_id, second.call_id] == [one.call_id for one in results]
    assert first.call_id != second.call_id and "own" == third.call_id
    assert said(contents) == [model, *results]


def test_what_a_function_gave_is_read_by_its_keys() -> None:
    """Output alone is text, error alone a failure, all else an object; what the user says besides is a message."""
    items = said([
        {"parts": [
            answer("a", {"output": "x"}), answer("b", {"error": "no"}), answer("c", {"t": 1}), answer("d", {"output": [1]}),
            {"text": "go"},
        ]}
    ])  # fmt: skip
    assert [("x", None, None), ("no", True, None), ("", None, {"t": 1}), ("[1]", None, None)] == [
        ("".join(part.text for part in one.parts), one.is_error, one.structured) for one in items[:4]
    ]
    assert isinstance(items[4], Message) and (Text("go"),) == items[4].parts


def test_an_empty_text_with_a_signature_is_kept() -> None:
    """It is nothing but the signature's place."""
    [item] = said([{"role": "model", "parts": [{"text": "", "thoughtSignature": "c2ln"}]}])
    assert (Text("", carrier=Carrier(provider="google", kind="thought_signature", payload="c2ln")),) == item.parts


@pytest.mark.parametrize("alphabet", ["std", "url"])
def test_a_sealed_thought_stands_before_its_part_and_never_reaches_google(alphabet: str) -> None:
    """Another provider's thought comes out of the signature, whatever its base64; Google gets the part without."""
    carrier = Carrier(provider="openai", kind="encrypted_content", payload="gAAA??>>")
    slot = envelope.in_base64(envelope.sealed(carrier, "hm"))
    slot = slot if alphabet == "std" else slot.replace("+", "-").replace("/", "_").rstrip("=")
    asked = request(contents=[{"role": "model", "parts": [{**call("f"), "thoughtSignature": slot}, {"text": "kept  "}]}])
    thought, called, _ = asked.prompt.items[0].parts  # type: ignore[attr-defined]
    assert (("hm",), carrier, None) == (thought.summary, thought.carrier, called.carrier)
    again = DIALECT.read_request(head(), asked.raw.data)  # type: ignore[union-attr]
    for each in (asked, again):
        assert [call("f"), {"text": "kept  "}] == json.loads(DIALECT.write_request(each))["contents"][0]["parts"]


def test_openapi_schemas_become_json_schema() -> None:
    """Types in lower case, nullable as a type, counts as numbers; and the client's own text goes to Google."""
    given = {"type": "OBJECT", "nullable": True, "propertyOrdering": ["b", "a"], "properties": {
        "a": {"type": "ARRAY", "minItems": "1", "items": {"type": "STRING", "enum": ["x"], "nullable": True}},
        "b": {"any_of": [{"type": "INTEGER"}]},
    }}  # fmt: skip
    asked = request(tools=[{"functionDeclarations": [{"name": "f", "parameters": given}]}])
    [tool] = asked.prompt.tools
    assert tool.schema == {"type": ["object", "null"], "properties": {  # type: ignore[attr-defined]
        "b": {"anyOf": [{"type": "integer"}]},
        "a": {"type": "array", "minItems": 1, "items": {"type": ["string", "null"], "enum": ["x", None]}},
    }}  # fmt: skip
    renamed = evolve(asked.prompt, tools=(evolve(tool, description="d"),))
    written = json.loads(DIALECT.write_request(evolve(asked, prompt=renamed)))
    assert [{"functionDeclarations": [{"name": "f", "parameters": given, "description": "d"}]}] == written["tools"]


@pytest.mark.parametrize(("config", "mode", "budget", "effort"), [
    ({"thinkingBudget": 0}, "off", None, None), ({"thinkingBudget": -1}, "auto", None, None),
    ({"thinkingBudget": 9}, "budget", 9, None), ({"thinkingLevel": "HIGH"}, "unset", None, "high"),
])  # fmt: skip
def test_thinking_is_read_and_written(config: Any, mode: str, budget: int | None, effort: str | None) -> None:
    """A budget of nothing is off, one below is automatic, a level is an effort; exactly one of the two is written."""
    prompt = request(generationConfig={"thinkingConfig": config}).prompt
    assert (mode, budget, effort) == (prompt.reasoning.mode, prompt.reasoning.budget, prompt.reasoning.effort)
    assert config == told(Prompt(reasoning=prompt.reasoning))["generationConfig"]["thinkingConfig"]


# ---- writing requests ---------------------------------------------------------------------------


def test_turns_alternate_and_results_stand_in_the_order_of_the_calls() -> None:
    """Results come first in the turn behind the calls, in their order; later instructions are the user's reminders."""
    losses: list[Loss] = []
    contents = told(Prompt(items=(
        Instruction(parts=(Text("sys"),)), Message(role="user", parts=(Text("a"),)),
        Message(role="assistant", parts=(Reasoning(summary=("t",)), ToolCall(call_id="1", name="f", arguments=""))),
        Message(role="assistant", parts=(ToolCall(call_id="2", name="g", arguments="[1]"),)),
        Message(role="user", parts=(Text("early"),)), Instruction(parts=(Text("mid"),), leading=False),
        ToolResult(call_id="2", parts=(Text("two"),), is_error=True), ToolResult(call_id="1", parts=(Text("one"),)),
    )), losses)  # fmt: skip
    assert {"parts": [{"text": "sys"}]} == contents["systemInstruction"]
    assert ["user", "model", "user"] == [one["role"] for one in contents["contents"]]
    assert [call("f", id="1"), call("g", {"_value": [1]}, id="2")] == contents["contents"][1]["parts"]
    assert [
        answer("f", {"output": "one"}, id="1"), answer("g", {"error": "two"}, id="2"), {"text": "early"},
        {"text": "<system-reminder>\nmid\n</system-reminder>"},
    ] == contents["contents"][2]["parts"]  # fmt: skip
    assert {"reasoning", "tool_call.arguments", "order", "instruction"} == {loss.feature for loss in losses}


def test_only_googles_own_signatures_are_written() -> None:
    """A signature stands beside the call; one of a thought goes with what follows; other vendors' are lost, and told."""
    google = Carrier(provider="google", kind="thought_signature", payload="c2ln")
    other = Carrier(provider="anthropic", kind="signature", payload="x")
    losses: list[Loss] = []
    made = told(Prompt(items=(Message(role="assistant", parts=(
        ToolCall(call_id="1", name="f", arguments="{}", carrier=google), Text("t", carrier=other),
        Reasoning(carrier=google), Text("u"),
    )),)), losses)  # fmt: skip
    written = made["contents"][0]["parts"]
    assert [
        {**call("f", id="1"), "thoughtSignature": "c2ln"},
        {"text": "t"},
        {"text": "u", "thoughtSignature": "c2ln"},
    ] == written
    assert ["carrier.signature"] == [loss.feature for loss in losses]


def test_numbers_keep_their_digits() -> None:
    """Arguments reach Google, and its own reach the client, to the digit."""
    text = '{"n":123456789012345678901234567890,"f":1.50}'
    prompt = Prompt(items=(Message(role="assistant", parts=(ToolCall(call_id="1", name="f", arguments=text),)),))
    data = DIALECT.write_request(Request(dialect="x", model="m", prompt=prompt))
    assert text.encode() in data
    assert text == DIALECT.read_request(head(), data).prompt.items[0].parts[0].arguments  # type: ignore[attr-defined]
    stream = b'data: {"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":%s}}]},"finishReason":"STOP"}]}\n\n'
    [called] = parts_of(read(stream % text.encode()))
    assert isinstance(called, ToolCall) and text == called.arguments
    assert text.encode() in write(STREAM, [evolve(event) for event in read(stream % text.encode())])


# ---- reading replies ----------------------------------------------------------------------------


def test_parts_of_one_kind_are_one_block_until_signed() -> None:
    """Nothing is joined to what is signed; a signature on an empty text belongs behind the open block."""
    events = read(
        chunk([{"text": "a", "thought": True}]), chunk([{"text": "b", "thought": True}, {"text": "c"}]),
        chunk([{"text": "d", "thoughtSignature": "cw=="}, {"text": "e"}]),
        chunk([{"text": "", "thoughtSignature": "dA=="}], "STOP"),
    )  # fmt: skip
    thought, signed, last = parts_of(events)
    assert isinstance(thought, Reasoning) and isinstance(signed, Text) and isinstance(last, Text)
    assert [("ab",), "cd", "e"] == [thought.summary, signed.text, last.text]
    assert [("cw==", "on"), ("dA==", "after")] == [
        (one.carrier.payload, one.carrier.position) for one in (signed, last) if one.carrier
    ]


def test_stop_behind_calls_means_that_they_are_to_be_run() -> None:
    """Also where it comes in a chunk of its own."""
    events = read(chunk([{**call("f", {"b": 1, "a": 2}), "thoughtSignature": "cw=="}]), chunk([{"text": ""}], "STOP"))
    [called] = parts_of(events)
    assert isinstance(called, ToolCall) and called.carrier is not None
    assert ('{"b":1,"a":2}', "cw==") == (called.arguments, called.carrier.payload)
    assert StopReason("tool_use", raw="STOP") == fold(events).choices[0].stop


@pytest.mark.parametrize(("reason", "kind"), [
    ("MAX_TOKENS", "max_tokens"), ("SAFETY", "content_filter"), ("RECITATION", "content_filter"), ("OTHER", "other"),
    ("MALFORMED_FUNCTION_CALL", "malformed_tool_call"), ("CONTINUATION", "continuation"), ("BRAND_NEW", "other"),
    (2, "max_tokens"),
])  # fmt: skip
def test_reasons_have_their_kinds(reason: Any, kind: str) -> None:
    """Each of Google's words has its kind; one that we do not know is other, never an ordinary end."""
    stop = fold(read(chunk([], reason))).choices[0].stop
    assert stop is not None and kind == stop.kind
    assert isinstance(reason, int) or reason == stop.raw


def test_a_stream_that_breaks_off_is_an_error() -> None:
    """The end is where each candidate has its reason; without, nothing is made up."""
    for data in (
        chunk([{"text": "a"}]),
        array({"candidates": [{"content": {"parts": [{"text": "a"}]}}]}),
        b"",
        b"[",
        chunk([{"text": "a"}], "STOP") + chunk([{"text": "b"}], index=1),
    ):
        for events in (read(data), relay(data)):
            assert isinstance(events[-1], Error) and isinstance(events[-1].error, UpstreamBroken)


def test_a_refused_prompt_is_a_whole_reply() -> None:
    """There are no candidates, only why."""
    refused = frame({"promptFeedback": {"blockReason": "SAFETY", "blockReasonMessage": "no"}, "responseId": "r"})
    for events in (read(refused), relay(refused)):
        assert isinstance(events[-1], ResponseEnd)
    stop = fold(read(refused)).choices[0].stop
    assert stop is not None and ("content_filter", "safety", "no") == (stop.kind, stop.category, stop.explanation)
    assert [{"blockReason": "SAFETY", "blockReasonMessage": "no"}] == [
        one["promptFeedback"] for one in objects(write(STREAM, [evolve(e) for e in read(refused)]))
    ]


def test_an_error_in_a_stream_is_its_last_word() -> None:
    """In a frame, among others: what came before is told, the error is Google's own, and a client of Google's gets its bytes."""
    error = {"error": {"code": 503, "message": "busy", "status": "UNAVAILABLE"}}
    for data, asked in (
        (chunk([{"text": "a"}]) + frame(error), STREAM),
        (array({"candidates": [{"content": {"parts": [{"text": "a"}]}}]}, error), ARRAY),
    ):
        for events in (read(data), relay(data)):
            last = events[-1]
            assert isinstance(last, Error) and isinstance(last.error, UpstreamRefused) and "overloaded" == last.error.kind
        assert data == write(asked, read(data))
        assert {"error"} == json.loads(DIALECT.write_error(last.error)).keys()


def test_grounding_is_told_once_with_its_bytes() -> None:
    """Offsets count bytes; what a later chunk repeats is not told again."""
    grounding = {
        "groundingChunks": [{"web": {"uri": "http://a", "title": "A"}}],
        "groundingSupports": [{"segment": {"endIndex": 3, "text": "né"}, "groundingChunkIndices": [0]}],
    }
    events = read(
        chunk([{"text": "né"}], groundingMetadata=grounding), chunk([{"text": "!"}], "STOP", groundingMetadata=grounding)
    )
    [part] = parts_of(events)
    assert isinstance(part, Text)
    assert [("http://a", "A", 0, 3, "byte")] == [(one.url, one.title, one.start, one.end, one.unit) for one in part.citations]


def test_candidates_are_choices() -> None:
    """Each candidate has its own blocks and its own end."""
    events = read(chunk([{"text": "a"}]), chunk([{"text": "b"}], "STOP", index=1), chunk([{"text": "c"}], "MAX_TOKENS"))
    assert [("ac", "MAX_TOKENS"), ("b", "STOP")] == [
        (one.parts[0].text, one.stop.raw)
        for one in fold(events).choices  # type: ignore[attr-defined, union-attr]
    ]


def test_a_whole_reply_instead_of_a_stream_is_read() -> None:
    """Whoever asked for a stream and got a body has the reply all the same, in the framing it asked for."""
    data = body([{"text": "hi\u2028"}])
    assert fold(read(data)) == fold(read_whole(data))
    for asked in (STREAM, ARRAY):
        assert fold(read_whole(data)) == fold(feed(DIALECT.reader(stream=True), write(asked, read(data))))


# ---- writing replies ----------------------------------------------------------------------------


def foreign(*blocks: Any, stop: str = "end") -> list[Event]:
    """A reply of another provider's: kind, meta and texts of each block."""
    events: list[Event] = [ResponseStart(id="r", model="o")]
    for index, (kind, meta, texts, *carriers) in enumerate(blocks):
        channel: Any = {"tool_call": "args", "reasoning": "reasoning_raw"}.get(kind, kind)
        events.append(BlockStart(index=index, kind=kind, meta=meta))
        events += [BlockDelta(index=index, channel=channel, fragment=text) for text in texts]
        events += [BlockMeta(index=index, what="carrier", value=carrier) for carrier in carriers]
        events.append(BlockStop(index=index))
    return [*events, Stop(reason=StopReason(stop)), ResponseEnd()]  # type: ignore[arg-type]


def test_thoughts_are_shown_to_those_who_asked() -> None:
    """Without includeThoughts they are left out; the words and the end are the same."""
    events = foreign(("reasoning", {}, ["hm"]), ("text", {}, ["a", "b"]))
    assert [{"text": "hm", "thought": True}, {"text": "a"}, {"text": "b"}] == parts(write(STREAM, events))
    assert [{"text": "a"}, {"text": "b"}] == parts(write(HIDDEN, events))
    assert ["STOP"] == [
        one["candidates"][0]["finishReason"] for one in objects(write(STREAM, events)) if "finishReason" in one["candidates"][0]
    ]


def test_calls_are_told_whole_in_the_order_of_their_blocks() -> None:
    """A call that ends early waits for the one before it; what is no JSON is carried as text."""
    start = [BlockStart(index=n, kind="tool_call", meta={"call_id": f"c{n}", "name": f"f{n}"}) for n in (0, 1)]
    ends: list[Event] = [
        BlockDelta(index=1, channel="args", fragment="{}"), BlockStop(index=1),
        BlockDelta(index=0, channel="args", fragment='{"a":'),
        BlockStop(index=0), Stop(reason=StopReason("tool_use")), ResponseEnd(),
    ]  # fmt: skip
    data = write(STREAM, [ResponseStart(), *start, *ends])
    assert [call("f0", {"_raw": '{"a":'}, id="c0"), call("f1", id="c1")] == parts(data)


def test_a_call_that_was_cut_off_is_left_out() -> None:
    """At the limit of tokens nobody could run it."""
    events = foreign(("text", {}, ["a"]), ("tool_call", {"call_id": "c", "name": "f"}, ['{"a":']), stop="max_tokens")
    assert [{"text": "a"}] == parts(write(STREAM, events))
    assert "MAX_TOKENS" == objects(write(STREAM, events))[-1]["candidates"][0]["finishReason"]


def test_foreign_state_is_sealed_into_the_next_call_or_the_end() -> None:
    """Where a call follows, the envelope is its signature; else it stands on an empty text at the end."""
    carrier = Carrier(provider="anthropic", kind="signature", payload="s")
    thought = ("reasoning", {}, ["hm"], carrier)
    on_call = parts(write(HIDDEN, foreign(thought, ("tool_call", {"call_id": "c", "name": "f"}, ["{}"]))))
    at_end = parts(write(HIDDEN, foreign(thought, ("text", {}, ["a"]))))
    assert ["functionCall", "thoughtSignature"] == list(on_call[0]) and {"text": "a"} == at_end[0] and "" == at_end[1]["text"]
    for part in (on_call[0], at_end[1]):
        opened = envelope.opened(part["thoughtSignature"])
        assert opened is not None and (carrier, "hm") == (opened.carrier, opened.text)


@pytest.mark.parametrize(("stop", "texts", "reason", "message"), [
    (StopReason("refusal", explanation="no"), [], "PROHIBITED_CONTENT", "no"),
    (StopReason("refusal", explanation="no"), ["I"], "STOP", "no"),
    (StopReason("content_filter"), [], "SAFETY", None), (StopReason("context_window"), ["a"], "MAX_TOKENS", None),
    (StopReason("stop_sequence", sequence="x"), ["a"], "STOP", None), (StopReason("other"), [], "OTHER", None),
])  # fmt: skip
def test_ends_of_others_have_googles_words(stop: StopReason, texts: list[str], reason: str, message: str | None) -> None:
    """A refusal that said nothing does not look like an ordinary end."""
    events = [evolve(one, reason=stop) if isinstance(one, Stop) else one for one in foreign(("text", {}, texts))]
    for candidate in (objects(write(STREAM, events))[-1]["candidates"][0], json.loads(write(WHOLE, events))["candidates"][0]):
        assert (reason, message) == (candidate["finishReason"], candidate.get("finishMessage"))


def test_citations_of_others_count_bytes() -> None:
    """A range of characters becomes one of bytes, over all of the answer's text."""
    events = foreign(("text", {}, ["né"]), ("text", {}, ["über"]))
    cited = BlockMeta(index=1, what="citation", value=Citation("url", url="http://a", title="A", start=1, end=4))
    events.insert(events.index(BlockStop(index=1)), cited)
    grounding = objects(write(STREAM, events))[-1]["candidates"][0]["groundingMetadata"]
    assert {"groundingChunks": [{"web": {"uri": "http://a", "title": "A"}}], "groundingSupports": [
        {"segment": {"startIndex": 5, "endIndex": 8, "text": "ber"}, "groundingChunkIndices": [0]}
    ]} == grounding  # fmt: skip


def test_what_google_cannot_say_is_told_as_lost() -> None:
    """Another vendor's tools and citations are left out, and the losses say so."""
    losses: list[Loss] = []
    writer = DIALECT.writer(STREAM, losses)
    events = foreign(("server_tool_call", {"tool": "web_search", "raw": {"type": "x"}}, []), ("text", {}, ["a"]))
    events.insert(-3, BlockMeta(index=1, what="citation", value=Citation("page")))
    assert b"web_search" not in b"".join(map(writer.feed, events))
    assert ["server_tool_call", "citation.page"] == [loss.feature for loss in losses]


def test_a_stream_is_written_as_the_sdks_can_read_it() -> None:
    """Each frame is one line of data; names, comments and [DONE] are not there; a heartbeat is a blank line."""
    writer = DIALECT.writer(STREAM)
    assert b"\n" == writer.idle()
    data = write(STREAM, [*foreign(("text", {}, ["a\r\nb"]))[:-1], Error(error=TooMany("slow", retry_after=2))])
    assert all(one.startswith(b"data: {") and b"\n" not in one for one in data.split(b"\r\n\r\n")[:-1])
    assert data.split(b"\r\n\r\n")[-2].startswith(b'data: {"error":')
    ended = json.loads(write(ARRAY, [*foreign(("text", {}, ["a"]))[:-1], Error(error=TooMany("slow"))]))
    assert "RESOURCE_EXHAUSTED" == ended[-1]["error"]["status"]


def test_a_changed_part_keeps_what_we_do_not_know() -> None:
    """A chunk of several parts is built on the original: unknown keys of the part and of the chunk stay."""
    data = chunk([{"text": "a", "partMetadata": {"k": 1}}, {**call("f"), "odd": 1}], "STOP", safety=[1])
    events = [evolve(one, fragment="A") if isinstance(one, BlockDelta) and one.channel == "text" else one for one in read(data)]
    [tree] = objects(write(STREAM, events))
    assert [{"text": "A", "partMetadata": {"k": 1}}, {**call("f"), "odd": 1}] == tree["candidates"][0]["content"]["parts"]
    assert [1] == tree["safety"] and "STOP" == tree["candidates"][0]["finishReason"]


def test_what_nobody_reads_changes_its_framing() -> None:
    """Frames that were relayed unread reach a client of the other framing, one by one."""
    two = chunk([{"text": "a"}]) + chunk([{"text": "b"}], "STOP")
    raws = [one for one in relay(two) if isinstance(one, Raw | ResponseEnd)]
    assert ["a", "b"] == [one["candidates"][0]["content"]["parts"][0]["text"] for one in json.loads(write(ARRAY, raws))]
    back = relay(write(ARRAY, raws))
    assert two.replace(b"\r\n\r\n", b"") == write(STREAM, back).replace(b"\r\n\r\n", b"")


def test_a_model_by_another_name_is_so_in_each_chunk() -> None:
    """If the model's name is changed, no chunk tells the old one."""
    events = read(chunk([{"text": "a"}]), chunk([{"text": "b"}], "STOP"))
    events = [evolve(one, model="mine") if isinstance(one, ResponseStart) else one for one in events]
    assert ["mine", "mine"] == [one["modelVersion"] for one in objects(write(STREAM, events))]
