"""Acceptance case 60: laws for any conversation and any reply, for all pairs of dialects."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from asking import SCHEMA, told
from attrs import evolve
from crossings import DIALECTS, MODELS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmgw.errors import ClientError, GatewayError
from llmgw.events import Choice, Event, Invariants, Reply, StopReason, Usage, fold, unfold
from llmgw.model import (
    Audio,
    Base64,
    CacheMark,
    CachePolicy,
    Carrier,
    Citation,
    CustomTool,
    Document,
    FileId,
    FunctionTool,
    Image,
    Instruction,
    Loss,
    Message,
    OpaqueItem,
    OpaquePart,
    OutputFormat,
    PlainText,
    Prompt,
    Reasoning,
    ReasoningConfig,
    Refusal,
    Request,
    Sampling,
    SearchResult,
    Text,
    ToolCall,
    ToolChoice,
    ToolRef,
    ToolResult,
    Url,
)
from llmgw.stages import Dialect, Head

LAW = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
ALL = [(front, back) for front in DIALECTS for back in DIALECTS]

words = st.text(st.characters(codec="utf-8"), max_size=12)
some_words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
names = st.text("abcXYZ_-0.:/ é", min_size=1, max_size=70)
ids = st.sampled_from(["c1", "c2", "call_3", "toolu_4", "", "x" * 80, "é:1"])
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=5,
)
objects = st.dictionaries(some_words, values, max_size=3)
marks = st.none() | st.builds(CacheMark, st.none() | st.sampled_from([300.0, 3600.0]))
carriers = st.none() | st.builds(
    Carrier, st.sampled_from(["anthropic", "openai", "google", "unknown"]),
    st.sampled_from(["signature", "encrypted_content", "thought_signature", "redacted"]),
    st.sampled_from(["c2lnbmF0dXJl", "gAAAAxyz", "AAAA", "Zm9v"]),
)  # fmt: skip


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


def many(strategy: st.SearchStrategy[Any], most: int = 3) -> st.SearchStrategy[Any]:
    return st.lists(strategy, max_size=most).map(tuple)


# ---- prompts ------------------------------------------------------------------------------------

texts = st.builds(Text, words, cache=marks)
pngs = st.builds(
    Base64, st.sampled_from(["image/png", "image/jpg", "x"]), st.sampled_from(["iVBORw0KGgoAAAAN", "AAAA", "/9j/AAAA"])
)
links = st.builds(Url, st.sampled_from(["https://x/y", "http://x/y", "data:image/png;base64,AAAA", "gs://b/c"]))
images = st.builds(
    Image, pngs | links | st.builds(FileId, names, st.none() | st.just("openai")), detail=maybe(st.sampled_from(["low", "high"]))
)
documents = st.builds(
    Document, st.builds(Base64, st.sampled_from(["application/pdf", "text/plain", "application/msword"]), st.just("JVBERi0x"))
    | st.builds(PlainText, words) | links, filename=maybe(some_words), context=maybe(words),
)  # fmt: skip
sounds = st.builds(Audio, st.builds(Base64, st.just("audio/wav"), st.just("AAAA")))
hits = st.builds(SearchResult, url=some_words, title=words, parts=many(st.builds(Text, words)))
opaque = st.builds(
    OpaquePart, dialect=st.sampled_from(["anthropic.messages", "openai.responses"]), type=st.just("odd"),
    raw=objects.map(lambda value: {**value, "type": "odd"}),
)  # fmt: skip
arguments = objects.map(lambda value: json.dumps(value)) | st.sampled_from(
    ["", "{", "[1]", '{"a":1e400}', "null", '{"input":"x"}']
)
calls = st.builds(
    ToolCall, call_id=ids, name=names, arguments=arguments, kind=st.sampled_from(["function", "function", "custom"]),
    carrier=carriers,
    namespace=maybe(st.just("mcp__x")),
)  # fmt: skip
thoughts = st.builds(Reasoning, summary=many(words, 2), raw_text=many(words, 1), carrier=carriers, redacted=st.booleans())
said = many(texts | thoughts | calls | st.builds(Refusal, words) | opaque, 4)
results = st.builds(
    ToolResult, call_id=ids, parts=many(texts | images | documents, 2), name=maybe(names), is_error=maybe(st.booleans()),
    structured=maybe(objects), cache=marks,
)  # fmt: skip
items = st.one_of(
    st.builds(Message, role=st.just("user"), parts=many(texts | images | documents | sounds | hits), name=maybe(names)),
    st.builds(Message, role=st.just("assistant"), parts=said, phase=maybe(st.sampled_from(["commentary", "final_answer"]))),
    results,
    st.builds(Instruction, role=st.sampled_from(["system", "developer"]), parts=many(texts), leading=st.booleans()),
    st.just(OpaqueItem(dialect="openai.responses", type="odd_call", raw={"type": "odd_call", "call_id": "c1", "x": 1.0})),
    st.just(OpaqueItem(dialect="anthropic.messages", type="odd", raw={"role": "odd", "content": "x"})),
)
tools = st.one_of(
    st.builds(FunctionTool, name=names, description=maybe(words), schema=maybe(objects | st.just(SCHEMA)),
              strict=maybe(st.booleans()), namespace=maybe(st.just("mcp__x")), cache=marks),
    st.builds(CustomTool, name=names, description=maybe(words), syntax=st.just("text")),
    st.builds(CustomTool, name=names, syntax=st.just("lark"), definition=some_words),
)  # fmt: skip
refs = st.builds(ToolRef, names, st.sampled_from(["function", "custom"]))
choices = st.one_of(
    st.builds(ToolChoice, st.sampled_from(["auto", "none", "required", "validated"])),
    st.builds(ToolChoice, st.just("named"), st.tuples(refs)),
    st.builds(ToolChoice, st.just("allowed"), many(refs), st.sampled_from(["auto", "required"])),
)
samplings = st.builds(
    Sampling, max_output=maybe(st.integers(0, 10**6)), temperature=maybe(st.floats(0, 3)), top_p=maybe(st.floats(0, 1)),
    top_k=maybe(st.integers(0, 99)), seed=maybe(st.integers(0, 9)), stop=many(words, 7), n=maybe(st.integers(1, 3)),
    logprobs=maybe(st.booleans()), top_logprobs=maybe(st.integers(0, 9)), frequency_penalty=maybe(st.floats(-2, 2)),
    verbosity=maybe(st.sampled_from(["low", "high"])),
)  # fmt: skip
reasonings = st.builds(
    ReasoningConfig, mode=st.sampled_from(["unset", "off", "auto", "adaptive", "budget", "between_tools"]),
    effort=maybe(st.sampled_from(["none", "minimal", "low", "medium", "high", "xhigh", "max", "odd"])),
    budget=maybe(st.sampled_from([-1, 0, 1, 1024, 50_000])), show=maybe(st.sampled_from(["auto", "summarized", "omitted"])),
)  # fmt: skip
outputs = st.builds(OutputFormat, kind=st.sampled_from(["text", "json_object"])) | st.builds(
    OutputFormat, kind=st.just("json_schema"), name=maybe(names), schema=maybe(objects), strict=maybe(st.booleans())
)


shown = st.builds(
    Image, st.builds(Base64, st.just("image/png"), st.just("iVBORw0KGgoAAAAN")) | st.builds(Url, st.just("https://x/y"))
)
plain_texts = st.builds(Text, some_words.filter(str.strip))
tame = st.one_of(
    st.builds(Message, role=st.just("user"), parts=st.tuples(plain_texts) | st.tuples(plain_texts, shown)),
    st.builds(
        Message, role=st.just("assistant"), parts=st.tuples(plain_texts) | st.tuples(calls) | st.tuples(plain_texts, calls)
    ),
    st.builds(ToolResult, call_id=ids, parts=st.tuples(plain_texts), is_error=maybe(st.booleans())),
    st.builds(Instruction, parts=st.tuples(plain_texts), leading=st.just(False)),
)


@st.composite
def prompts(draw: st.DrawFn, kinds: st.SearchStrategy[Any] = items) -> Prompt:
    """Any prompt, however wild: items in no order that a client would have."""
    asked = Message(role="user", parts=(Text("hello"),))
    made = [evolve(item, turn=turn) for turn, item in enumerate([*draw(st.lists(kinds, max_size=7)), asked])]
    return Prompt(
        items=tuple(made), tools=draw(many(tools)), tool_choice=draw(maybe(choices)), parallel_tools=draw(maybe(st.booleans())),
        sampling=draw(samplings), reasoning=draw(reasonings), output=draw(maybe(outputs)),
        tier=draw(maybe(st.sampled_from(["flex", "auto"]))),
        end_user=draw(maybe(words)), metadata=draw(maybe(st.dictionaries(some_words, words, max_size=2))),
        cache=CachePolicy(key=draw(maybe(some_words))),
    )  # fmt: skip


def crossed(front: str, back: str, prompt: Prompt) -> tuple[bytes, Prompt]:
    """A prompt as the provider gets it, and as it stands just before.

    Raises:
        ClientError: it is refused.
    """
    target, losses = DIALECTS[back], list[Loss]()
    request = Request(dialect=DIALECTS[front].name, model=MODELS[back], prompt=prompt)
    way = target.crossing(request, target.profile(MODELS[back]), losses)
    request = request if way is None else way.request()
    return target.write_request(request, losses), request.prompt


def again(back: str, data: bytes) -> bytes:
    """What a provider gets, read and written once more."""
    target = DIALECTS[back]
    head = Head("POST", "/v1beta/models/m:generateContent", {"model": MODELS[back]})
    return target.write_request(Request(dialect="x", model=MODELS[back], prompt=target.read_request(head, data).prompt))


@pytest.mark.parametrize(("front", "back"), ALL)
def test_case_60_any_prompt_crosses(front: str, back: str) -> None:
    """It is written or refused, never anything else; what is written is written alike again, and soon has its final form."""

    @LAW
    @given(prompts())
    def law(prompt: Prompt) -> None:
        try:
            data, _ = crossed(front, back, prompt)
        except ClientError:
            return
        assert data == crossed(front, back, prompt)[0]
        second = again(back, data)
        assert json.loads(second) == json.loads(again(back, second))

    law()


@pytest.mark.parametrize(("front", "back"), [(front, back) for front, back in ALL if front != back])
def test_case_60_what_crosses_is_written_alike_once_it_has_been_read(front: str, back: str) -> None:
    """A conversation as clients have them, written, read and written again, is the same."""

    @LAW
    @given(prompts(tame))
    def law(prompt: Prompt) -> None:
        try:
            data, _ = crossed(front, back, prompt)
        except ClientError:
            return
        assert json.loads(data) == json.loads(again(back, data))

    law()


@pytest.mark.parametrize(("front", "back"), [(front, back) for front, back in ALL if front != back])
def test_case_60_calls_and_results_are_paired(front: str, back: str) -> None:
    """In what a provider gets, each call has its one result and each result its call, whatever the history was."""

    @LAW
    @given(prompts())
    def law(prompt: Prompt) -> None:
        try:
            data, _ = crossed(front, back, prompt)
        except ClientError:
            return
        found = told(back, json.loads(data))
        called, answered = Counter(one for one, _, _ in found.calls), Counter(one for one, _ in found.results)
        if back == "G":
            assert len(found.calls) == len(found.results)
        else:
            last = called - answered if back == "S" else Counter[str]()  # which may end with calls that wait
            assert called - last == answered
            assert all(count == 1 for count in called.values())

    law()


# ---- replies ------------------------------------------------------------------------------------

NAMES = st.text("abcXYZ_-0", min_size=1, max_size=20)
spoken = st.builds(Text, some_words, citations=many(st.builds(Citation, st.just("url"), url=st.just("https://x"), title=words,
                                                                start=st.just(0), end=st.just(1)), 1))  # fmt: skip
thought = st.builds(Reasoning, summary=st.tuples(some_words), carrier=carriers)
called = st.builds(ToolCall, call_id=NAMES, name=NAMES, arguments=objects.map(lambda value: json.dumps(value)))
usages = st.builds(
    Usage, input_total=st.integers(50, 99), output_total=st.integers(50, 99), cache_read=maybe(st.integers(0, 9)),
    cache_write=maybe(st.integers(0, 9)), reasoning=maybe(st.integers(0, 9)),
)  # fmt: skip
ends = st.sampled_from(["end", "stop_sequence", "max_tokens", "context_window", "content_filter", "refusal", "other"])


@st.composite
def replies(draw: st.DrawFn) -> Reply:
    """A reply as any provider might give it: thoughts, texts and calls in any order."""
    parts = draw(many(spoken | thought | called | st.builds(Refusal, some_words), 5))
    unique = {part.call_id: part for part in parts if isinstance(part, ToolCall)}
    kept = tuple(part for part in parts if not isinstance(part, ToolCall) or unique[part.call_id] is part)
    kind = "tool_use" if unique else draw(ends)
    stop = StopReason(kind, sequence="x" if kind == "stop_sequence" else None)
    return Reply(id="r1", model="m", created=5, choices=(Choice(parts=kept, stop=stop),), usage=draw(maybe(usages)))


def client(front: str, *, stream: bool) -> Request:
    """A client that wants all there is."""
    prompt = Prompt(
        reasoning=ReasoningConfig(effort="high", show="summarized", want_encrypted=True),
        include=frozenset({"reasoning.encrypted_content"}),
    )
    return Request(dialect=DIALECTS[front].name, model="m", stream=stream, stream_usage=True, prompt=prompt)


def read(dialect: Dialect, data: bytes, *, stream: bool, cut: int = 0) -> list[Event]:
    """The events of a reply, which keep the laws."""
    reader, laws = dialect.reader(stream=stream), Invariants()
    pieces = [data[at : at + cut] for at in range(0, len(data), cut)] if cut else [data]
    events = [*(event for piece in pieces for event in reader.feed(piece)), *reader.close()]
    assert [broken for event in events if (broken := laws.feed(event))] == []
    return events


def told_by(events: list[Event]) -> Any:
    """What a reply tells, whatever holds it: Chat keeps refusals apart from texts, a body has no room for an order of deltas.

    An answer that is no answer is an error, in a stream as in a body.
    """
    try:
        reply = fold(events)
    except GatewayError as error:
        return error.kind
    parts = [part for choice in reply.choices for part in choice.parts]
    words = ["".join(part.text for part in parts if isinstance(part, kind)) for kind in (Text, Refusal)]
    thoughts = "".join("".join(part.summary or part.raw_text) for part in parts if isinstance(part, Reasoning)).replace("\n", "")
    calls = [(part.call_id, part.name, json.loads(part.arguments or "{}")) for part in parts if isinstance(part, ToolCall)]
    cited = [(one.url, one.title) for part in parts if isinstance(part, Text) for one in part.citations]
    stop = reply.choices[0].stop
    return reply.id, reply.model, words, thoughts, calls, cited, stop and stop.kind, reply.usage


@pytest.mark.parametrize("front", list(DIALECTS))
def test_case_60_a_stream_and_a_body_say_the_same(front: str) -> None:
    """Any reply, written as a stream and as a body, folds into the same reply, however the stream is cut."""
    dialect = DIALECTS[front]

    @LAW
    @given(replies())
    def law(reply: Reply) -> None:
        events = unfold(reply)
        streams, whole = (b"".join(map(dialect.writer(client(front, stream=one)).feed, events)) for one in (True, False))
        expected = told_by(read(dialect, whole, stream=False))
        for cut in (0, 1, 7, 64):
            assert expected == told_by(read(dialect, streams, stream=True, cut=cut))

    law()


@pytest.mark.parametrize(("front", "back"), [(front, back) for front, back in ALL if front != back])
def test_case_60_any_reply_crosses(front: str, back: str) -> None:
    """A provider's stream and body reach a client of another dialect with the same words, calls and end."""
    theirs, ours = DIALECTS[back], DIALECTS[front]

    @LAW
    @given(replies())
    def law(reply: Reply) -> None:
        told = []
        ordered = not any(isinstance(part, Refusal) for part in reply.choices[0].parts)
        for stream in (True, False):
            request = evolve(client(front, stream=stream), model=MODELS[back])
            provider = b"".join(map(theirs.writer(client(back, stream=stream)).feed, unfold(reply)))
            way = theirs.crossing(request, theirs.profile(request.model), [])
            assert way is not None
            way.request()
            back_events = [made for event in read(theirs, provider, stream=stream) for made in way.back(event)]
            writer = ours.writer(request)
            told.append(gist(read(ours, b"".join(map(writer.feed, back_events)), stream=stream), ordered=ordered))
        assert told[0] == told[1]
        assert (
            told[0] in ("upstream_error", *SILENT)
            if spoken_of(reply, ordered=ordered) == ("", [])
            else spoken_of(reply, ordered=ordered) == told[0][:2]
        )

    law()


SILENT = [("", [], kind) for kind in (None, "end", "max_tokens", "refusal", "content_filter", "stop_sequence", "context_window")]
"""Ends of a reply that says nothing."""


def gist(events: list[Event], *, ordered: bool) -> Any:
    """Words, calls and end; of an error its kind."""
    try:
        reply = fold(events)
    except GatewayError as error:
        return error.kind
    stop = reply.choices[0].stop if reply.choices else None
    return (*spoken_of(reply, ordered=ordered), stop.kind if stop else None)


def spoken_of(reply: Reply, *, ordered: bool) -> tuple[str, list[tuple[str, Any]]]:
    """Words and calls; where there are refusals among the texts, which not all tell apart, in no order."""
    parts = [part for choice in reply.choices for part in choice.parts]
    words = "".join(part.text for part in parts if isinstance(part, Text | Refusal))
    calls = [(part.name, json.loads(part.arguments or "{}")) for part in parts if isinstance(part, ToolCall)]
    return (words if ordered else "".join(sorted(words))), calls
