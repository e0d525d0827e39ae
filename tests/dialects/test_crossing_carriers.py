"""Opaque state in a history: its issuer gets it back, nobody else sees it."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from steps import MODELS, NAMES, USER, stepped

from llmgw.events import BlockMeta, BlockStart
from llmgw.model import (
    Carrier,
    Instruction,
    Message,
    Part,
    Prompt,
    RawDoc,
    Reasoning,
    ReasoningConfig,
    Request,
    Text,
    ToolCall,
    ToolResult,
    sourced,
)
from llmgw_dialects import envelope
from llmgw_dialects.crossing import cross
from llmgw_dialects.crossing.carriers import Carriers, Continuity, Stamps, loop
from llmgw_dialects.crossing.vendors import family
from llmgw_dialects.profiles import profile

BYPASS = Carrier(provider="google", kind="thought_signature", payload="skip_thought_signature_validator")
CLAUDE = Carrier(provider="anthropic", kind="signature", payload="sig", family="claude")
REDACTED = Carrier(provider="anthropic", kind="redacted", payload="x", family="claude")
GPT = Carrier(provider="openai", kind="encrypted_content", payload="enc", family="gpt-5")
GEMINI = Carrier(provider="google", kind="thought_signature", payload="ts", family="gemini-3")


def call(ident: str = "c", carrier: Carrier | None = None) -> ToolCall:
    return ToolCall(call_id=ident, name="f", arguments="{}", carrier=carrier)


def said(*parts: Part) -> Message:
    return Message(role="assistant", parts=parts)


def result(ident: str = "c") -> ToolResult:
    return ToolResult(call_id=ident, parts=(Text("r"),))


def thought(carrier: Carrier | None = None, words: str = "hm") -> Reasoning:
    return Reasoning(summary=(words,), carrier=carrier)


def history(*parts: Part) -> Prompt:
    return Prompt(items=(USER, said(*parts), result()))


def left(made: Any) -> tuple[Part, ...]:
    parts: tuple[Part, ...] = made.prompt.items[1].parts
    return parts


# ---- thoughts -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("way", "model", "carrier", "kept"), [
    ("SA", "claude-opus-4-6", CLAUDE, True), ("SA", "claude-opus-4-6", REDACTED, True), ("SA", "claude-opus-4-6", GPT, False),
    ("SA", "claude-opus-4-6", evolve(CLAUDE, family=None), True), ("SA", "fp-other", CLAUDE, False),
    ("AS", "gpt-5.2", GPT, True), ("AS", "openai/gpt-5.4", GPT, True), ("AS", "gpt-6-sol", GPT, False),
    ("AS", "gpt-5.2", CLAUDE, False),
    ("AS", "gpt-5.2", evolve(GPT, kind="signature"), False), ("CS", "gpt-5.2", GPT, True),
    ("AC", "gpt-5.2", GPT, False), ("AC", "gpt-5.2", CLAUDE, False),
    ("AC", "deepseek-v4-pro", Carrier(provider="unknown", kind="details", payload="[]", family="deepseek"), True),
    ("AC", "gpt-5.2", Carrier(provider="unknown", kind="details", payload="[]", family="deepseek"), False),
    ("SA", "claude-opus-4-6", Carrier(provider="anthropic", kind="signature", payload="llmgw1:x"), False),
])  # fmt: skip
def test_only_the_issuer_reads(way: str, model: str, carrier: Carrier, kept: bool) -> None:
    """A thought stays where its model's family issued it; it goes elsewhere, with a loss, and never becomes text."""
    part = thought(carrier)
    made = stepped(Carriers, way, history(part, Text("a"), call()), model=model, takes_details=way == "AC")
    assert ((part,) if kept else ()) + (Text("a"), call()) == left(made)
    assert ([] if kept else [("reasoning.carrier", "dropped")]) == made.lost


@pytest.mark.parametrize("way", ["AS", "SA", "CS", "GA", "AC"])
def test_unsigned_thoughts_go(way: str) -> None:
    """What nobody signed no vendor of signatures takes."""
    made = stepped(Carriers, way, history(thought(), call()))
    assert (call(),) == left(made) and [("reasoning", "dropped")] == made.lost


def test_a_message_of_thoughts_alone_goes() -> None:
    """Nothing is left of it."""
    assert (USER, result()) == stepped(Carriers, "AS", history(thought())).prompt.items


@pytest.mark.parametrize(("part", "kept", "lost"), [
    (thought(), thought(), []), (thought(CLAUDE), thought(), [("reasoning.carrier", "dropped")]),
    (Reasoning(raw_text=("r",), carrier=GPT), Reasoning(raw_text=("r",)), [("reasoning.carrier", "dropped")]),
    (Reasoning(carrier=REDACTED, redacted=True), None, [("reasoning.carrier", "dropped")]),
])  # fmt: skip
def test_models_that_want_their_thoughts_back(part: Reasoning, kept: Reasoning | None, lost: Any) -> None:
    """They get the words, without another's signature."""
    made = stepped(Carriers, "AC", history(part, call()), model="deepseek-v4-pro")
    assert ((kept,) if kept else ()) + (call(),) == left(made) and lost == made.lost


@pytest.mark.parametrize("way", ["CA", "GS", "CS"])
def test_calls_and_texts_lose_what_is_not_for_the_target(way: str) -> None:
    """A signature of Google's on a call or a text is nobody else's business."""
    made = stepped(Carriers, way, history(Text("a", carrier=GEMINI), call("c", GEMINI)))
    assert (Text("a"), call()) == left(made)
    assert [("text.carrier", "dropped"), ("tool_call.carrier", "dropped")] == made.lost


# ---- Google -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("parts", "expected"), [
    ((thought(GEMINI), call()), (call("c", GEMINI),)),
    ((thought(GEMINI), Text("a"), call("c", GEMINI)), (Text("a", carrier=GEMINI), call("c", GEMINI))),
    ((call("c", GEMINI), Text("a"), thought(GEMINI)), (call("c", GEMINI), Text("a"), Text("", carrier=GEMINI))),
    ((call("c", GEMINI), thought(evolve(GEMINI, position="after")), Text("b")),
     (call("c", GEMINI), Text("", carrier=GEMINI), Text("b"))),
    ((thought(GEMINI), call("c"), thought(evolve(GEMINI, payload="2")), call("d")),
     (call("c", GEMINI), call("d", evolve(GEMINI, payload="2")))),
    ((thought(CLAUDE), thought(GEMINI), call()), (call("c", GEMINI),)),
    ((thought(GEMINI), thought(evolve(GEMINI, payload="2")), call()),
    (Text("", carrier=GEMINI), call("c", evolve(GEMINI, payload="2")))),
])  # fmt: skip
def test_signatures_go_where_they_belong(parts: tuple[Part, ...], expected: tuple[Part, ...]) -> None:
    """A client kept them as thoughts; Google wants them on the call or the text, and no thoughts."""
    made = stepped(Carriers, "AG", history(*parts))
    assert expected == left(made)
    assert "reasoning" not in [feature for feature, _ in made.lost]


def carried(items: tuple[Any, ...]) -> list[tuple[str, str | None]]:
    """The calls, with what they carry."""
    parts = [part for item in items for part in getattr(item, "parts", ()) if isinstance(part, ToolCall)]
    return [(part.call_id, part.carrier and part.carrier.payload) for part in parts]


LONG: tuple[Any, ...] = (
    USER, said(call("old1")), result("old1"), said(Text("done")), Message(role="user", parts=(Text("more"),)),
    said(Text("t"), call("a1"), call("a2")), result("a1"), result("a2"), said(call("b1", GEMINI), call("b2")), result("b1"),
    result("b2"), said(call("d1")), result("d1"),
)  # fmt: skip


def test_the_stand_in_is_used_sparingly() -> None:
    """It stands on the first call of each step since the user last spoke, where there is no signature, and nowhere else."""
    made = stepped(Carriers, "AG", Prompt(items=LONG))
    assert [
        ("old1", None), ("a1", BYPASS.payload), ("a2", None), ("b1", "ts"), ("b2", None), ("d1", BYPASS.payload),
    ] == carried(made.prompt.items)  # fmt: skip
    assert [("tool_call.carrier", "emulated")] * 2 == made.lost


@pytest.mark.parametrize(("items", "expected"), [
    ((USER, said(call("a")), result("a"), USER), [("a", BYPASS.payload)]),  # words behind results are not the user speaking
    ((USER, said(call("a")), result("a"), said(Text("x")), USER), [("a", None)]),
    ((USER, said(call("a")), result("a"), said(call("b"), call("c"))), [("a", BYPASS.payload), ("b", BYPASS.payload),
    ("c", None)]),
    ((USER, said(call("a")), said(call("b")), result("a"), result("b")), [("a", BYPASS.payload), ("b", None)]),  # one step
    ((USER, said(call("a")), result("a"), Instruction(leading=False), said(call("b")), result("b")),
     [("a", BYPASS.payload), ("b", BYPASS.payload)]),
    ((said(call("a")), result("a")), [("a", BYPASS.payload)]),
    ((USER, said(call("a")), result("a"), said(Text("x")), Message(role="user", parts=(Text(" "),)), said(call("b")),
    result("b")),
     [("a", BYPASS.payload), ("b", BYPASS.payload)]),
])  # fmt: skip
def test_where_a_loop_begins(items: tuple[Any, ...], expected: Any) -> None:
    """A step is what the model says at once; a loop goes back to where the user last said something alone."""
    assert expected == carried(stepped(Carriers, "AG", Prompt(items=items)).prompt.items)


def test_older_models_need_none() -> None:
    """Gemini 2.5 takes calls without signatures."""
    made = stepped(Carriers, "AG", Prompt(items=LONG), model="gemini-2.5-pro")
    assert all(carrier is None for _, carrier in carried(made.prompt.items))


def test_loops_of_nothing() -> None:
    """Without a step of the model's there is no loop."""
    assert 0 == loop(()) and 1 == loop((USER,))


# ---- Anthropic ----------------------------------------------------------------------------------

MANUAL = ReasoningConfig(mode="budget", budget=2000)


@pytest.mark.parametrize(("reasoning", "items", "off"), [
    (MANUAL, (USER, said(call()), result()), True), (MANUAL, (USER, said(thought(CLAUDE), call()), result()), False),
    (MANUAL, (USER, said(Text("a"), thought(CLAUDE), call()), result()), True),
    (MANUAL, (USER, said(thought(CLAUDE), call()), result(), said(call("d")), result("d")), True),
    (MANUAL, (USER, said(call()), result(), said(Text("a")), USER), False), (MANUAL, (USER,), False), (MANUAL, (), False),
    (MANUAL, (USER, said(call()), result(), USER), True),
    (MANUAL, (USER, said(call()), result(), Instruction(leading=False)), True),
    (ReasoningConfig(mode="adaptive"), (USER, said(call()), result()), False),
    (ReasoningConfig(), (USER, said(call()), result()), False),
])  # fmt: skip
def test_thinking_is_decided_by_the_loop(reasoning: ReasoningConfig, items: tuple[Any, ...], off: bool) -> None:
    """With a budget, a loop whose last step shows no thought goes on without thinking, until the user speaks again."""
    made = stepped(Continuity, "CA", Prompt(items=items, reasoning=reasoning), model="claude-sonnet-4-5")
    assert (ReasoningConfig(mode="off") if off else reasoning) == made.prompt.reasoning
    assert ([("reasoning", "approximated")] if off else []) == made.lost


def test_others_have_no_such_rule() -> None:
    """It is Anthropic's alone."""
    prompt = Prompt(items=(USER, said(call()), result()), reasoning=MANUAL)
    assert stepped(Continuity, "CG", prompt, model="gemini-2.5-pro").prompt is prompt


# ---- the way back -------------------------------------------------------------------------------


def test_families_are_stamped() -> None:
    """What a provider issues bears the family of the model; what bears one already keeps it."""
    step = stepped(Stamps, "SA", Prompt())
    carrier = evolve(CLAUDE, family=None)
    events = [
        BlockMeta(index=0, what="carrier", value=carrier),
        BlockMeta(index=0, what="carrier", value=evolve(carrier, family="x")),
    ]
    assert [CLAUDE, evolve(carrier, family="x")] == [event.value for event in step.back(events) if isinstance(event, BlockMeta)]
    other = BlockStart(index=0, kind="text")
    assert [other] == step.back([other])


@pytest.mark.parametrize(("model", "expected"), [
    ("claude-opus-4-6", "claude"), ("us.anthropic.claude-haiku-5-5-v1:0", "claude"), ("gpt-5.4-mini", "gpt-5"), ("o3-mini", "o3"),
    ("models/gemini-3.1-pro-preview", "gemini-3"), ("google/gemini-2.5-flash", "gemini-2"),
    ("deepseek/deepseek-v4-pro", "deepseek"),
    ("GPT-6-Sol", "gpt-6"), ("gpt-oss-120b", "gpt-oss"), ("9x y", "9x-y"),
])  # fmt: skip
def test_families(model: str, expected: str) -> None:
    """A family is a word of the model's name."""
    assert expected == family(model)


# ---- within one dialect -------------------------------------------------------------------------


def within(key: str, *parts: Any, data: bytes = b"llmgw1:", reasoning: ReasoningConfig | None = None) -> Any:
    """A request of the target's own dialect, whose parts have these sources; None where nothing is to do."""
    doc = RawDoc(NAMES[key], data)
    built = [sourced(part, doc, ("p", n), value) for n, (part, value) in enumerate(parts)]
    prompt = Prompt(items=(USER, said(*built), result()), reasoning=reasoning or ReasoningConfig())
    request = Request(dialect=NAMES[key], model=MODELS[key], raw=doc, prompt=prompt)
    way = cross(request, NAMES[key], profile(NAMES[key], request.model), [])
    return None if way is None else (built, way.request().prompt)


def test_bodies_without_envelopes_are_left_alone() -> None:
    """Whether there is one is told without reading."""
    assert None is within("A", (Text("a"), {}), data=b"llmgw but no envelope")
    assert None is not within("A", (Text("a"), {}), data=b"xxbGxtZ3cxOnxx" + envelope.MARKS[1])


@pytest.mark.parametrize("carrier", [GPT, GEMINI, None])
def test_claude_after_another_model(carrier: Carrier | None) -> None:
    """Thoughts of another model go, Claude's own stay the very nodes that they were, the words stay."""
    own = thought(evolve(CLAUDE, family=None))
    parts = [
        (thought(carrier), {"type": "thinking", "thinking": "hm", "signature": envelope.sealed(carrier, "hm")}),
        (own, {"type": "thinking", "thinking": "hm", "signature": "sig"}), (Text("a"), {"type": "text", "text": "llmgw1:"}),
        (call(), {"type": "tool_use", "input": {"signature": "llmgw1:"}}),
    ]  # fmt: skip
    built, prompt = within("A", *parts)
    assert all(new is old for new, old in zip(prompt.items[1].parts, built[1:], strict=True))
    assert all(part.clean for part in prompt.items[1].parts)


def test_claude_cannot_go_on_thinking() -> None:
    """With a budget, what is left of the loop shows no thought, so this request does without."""
    parts = [(thought(GPT), {"signature": envelope.sealed(GPT)}), (call(), {})]
    assert "off" == within("A", *parts, reasoning=MANUAL)[1].reasoning.mode


def test_openai_keeps_what_it_stores() -> None:
    """An item without encrypted content is native; a minted envelope, or a damaged one, is not."""
    parts = [
        (Reasoning(id="rs_1"), {"type": "reasoning", "id": "rs_1", "summary": []}),
        (thought(), {"type": "reasoning", "summary": [], "encrypted_content": envelope.sealed(None, "hm")}),
        (thought(), {"type": "reasoning", "summary": [], "encrypted_content": "llmgw1:broken"}), (call(), {}),
    ]  # fmt: skip
    built, prompt = within("S", *parts)
    assert (built[0], built[3]) == prompt.items[1].parts and prompt.items[1].parts[0] is built[0]


def test_gemini_gets_a_stand_in() -> None:
    """A call that bears another's envelope is written anew, with what stands for a signature."""
    slot = envelope.in_base64(envelope.sealed(GPT))
    parts = [
        (call("c", GPT), {"functionCall": {}, "thoughtSignature": slot}),
        (call("d", evolve(GEMINI, family=None)), {"functionCall": {}, "thoughtSignature": "ts"}),
        (call("e"), {"functionCall": {}, "thought_signature": slot}),
    ]  # fmt: skip
    built, prompt = within("G", *parts)
    first, second, third = prompt.items[1].parts
    assert (call("c", BYPASS), None) == (first, first.source)
    assert second is built[1] and (call("e"), None) == (third, third.source)


def test_envelopes_in_chat() -> None:
    """They stand in ``reasoning_details`` or in ``extra_content``."""
    own = Carrier(provider="google", kind="thought_signature", payload="native")
    parts = [
        (thought(CLAUDE), [{"type": "reasoning.encrypted", "data": envelope.sealed(CLAUDE)}]), (thought(), "reasoning_content"),
        (call("c", own), {"extra_content": {"google": {"thought_signature": "native"}}}),
        (call("d", GPT), {"extra_content": {"google": {"thought_signature": envelope.sealed(GPT)}}}),
    ]  # fmt: skip
    built, prompt = within("C", *parts)
    assert (thought(), call("c", own), call("d")) == prompt.items[1].parts and prompt.items[1].parts[1] is built[2]
