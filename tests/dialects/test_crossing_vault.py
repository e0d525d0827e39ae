"""The vault: opaque state that clients lose is kept by the gateway, under its issuer and family."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from steps import USER, stepped

from llmgw.events import BlockDelta, BlockMeta, BlockStart, BlockStop, Event, ResponseStart, unfold
from llmgw.events.reply import Choice, Reply
from llmgw.model import Carrier, Message, Part, Prompt, Reasoning, Text, ToolCall, ToolResult
from llmgw_dialects import envelope
from llmgw_dialects.crossing.vault import MOST, Vault

CLAUDE = Carrier(provider="anthropic", kind="signature", payload="sig", family="claude")
GPT = Carrier(provider="openai", kind="encrypted_content", payload="enc", family="gpt-5")
GEMINI = Carrier(provider="google", kind="thought_signature", payload="ts", family="gemini-3")


def call(ident: str, carrier: Carrier | None = None) -> ToolCall:
    return ToolCall(call_id=ident, name="f", arguments="{}", carrier=carrier)


def asked(*parts: Part) -> Prompt:
    return Prompt(items=(USER, Message(role="assistant", parts=parts), ToolResult(call_id="c")))


def kept(way: str, *parts: Part, model: str = "") -> dict[str, str]:
    """What is kept of a reply with these parts."""
    made = stepped(Vault, way, Prompt(items=(USER,)), model=model)
    events = unfold(Reply(choices=(Choice(parts=parts),)))
    assert events == made.back(events)
    return dict(made.step.kept)


def again(way: str, store: dict[str, str], *parts: Part, model: str = "", **changes: Any) -> tuple[Part, ...]:
    """What becomes of these parts in the next request, with what is in the store."""
    items: Any = stepped(Vault, way, asked(*parts), found=store, model=model, **changes).prompt.items
    found: tuple[Part, ...] = items[1].parts
    return found


def test_signatures_of_calls() -> None:
    """A signature that a client dropped is on its call again, under the same id."""
    store = kept("CG", call("c", GEMINI), call("d"))
    assert {"carrier:google:gemini-3:c": envelope.sealed(GEMINI)} == store
    assert (call("c", GEMINI), call("d")) == again("CG", store, call("c"), call("d"))


@pytest.mark.parametrize(("way", "carrier", "redacted"), [
    ("CA", CLAUDE, False), ("CS", GPT, False), ("CA", evolve(CLAUDE, kind="redacted"), True),
])  # fmt: skip
def test_thoughts_before_calls(way: str, carrier: Carrier, redacted: bool) -> None:
    """A thought that a client dropped comes back with its words, before all that came of it."""
    thought = Reasoning(summary=() if redacted else ("hm",), carrier=carrier, redacted=redacted)
    store = kept(way, thought, Text("a"), call("c"), call("d"))
    assert (thought, Text("a"), call("c"), call("d")) == again(way, store, Text("a"), call("c"), call("d"))
    assert (thought, call("c")) == again(way, store, Reasoning(summary=("other words",)), call("c"))


def test_each_call_has_its_own() -> None:
    """Several thoughts in one answer go each before its call."""
    first, second = Reasoning(summary=("1",), carrier=GPT), Reasoning(summary=("2",), carrier=evolve(GPT, payload="2"))
    store = kept("CS", first, call("c"), second, call("d"))
    assert (first, call("c"), second, call("d")) == again("CS", store, call("c"), call("d"))


def test_thoughts_by_their_words() -> None:
    """A thought that came back without its signature gets it by its words."""
    thought = Reasoning(summary=("a", "b"), carrier=GPT)
    store = kept("AS", thought)
    assert [f"thought:openai:gpt-5:{envelope.digest('a' + chr(10) * 2 + 'b')}"] == list(store)
    bare = Reasoning(summary=("a\n\nb",))
    assert (evolve(bare, carrier=GPT), Text("x")) == again("AS", store, bare, Text("x"))


def test_signed_texts() -> None:
    """Google signs what is said, too."""
    store = kept("CG", Text("x", carrier=GEMINI))
    assert (Text("x", carrier=GEMINI),) == again("CG", store, Text("x"))


@pytest.mark.parametrize(("way", "model"), [("CA", "claude-opus-4-6"), ("CG", "gemini-2.5-pro"), ("CS", "gpt-5.2")])
def test_never_anothers(way: str, model: str) -> None:
    """Issuer and family are part of the key, and what is found is looked at again."""
    store = kept("CG", call("c", GEMINI))
    assert (call("c"),) == again(way, store, call("c"), model=model)
    wrong = {key: envelope.sealed(GEMINI) for key in stepped(Vault, way, asked(call("c")), model=model).step.wanted}
    assert wrong and (call("c"),) == again(way, wrong, call("c"), model=model)
    broken = dict.fromkeys(wrong, "nonsense")
    assert (call("c"),) == again(way, broken, call("c"), model=model)


def test_nothing_is_asked_for_what_is_there() -> None:
    """A history that has its carriers needs no vault, nor does one in which the user has spoken since."""
    assert () == tuple(stepped(Vault, "AS", asked(Reasoning(carrier=GPT))).step.wanted)
    spoken = Prompt(items=(*asked(call("c")).items, Message(role="assistant", parts=(Text("a"),)), USER))
    assert [] == stepped(Vault, "CG", spoken).step.wanted
    assert ["carrier:google:gemini-3:c"] == stepped(Vault, "CG", asked(call("c"))).step.wanted
    assert ["carrier:anthropic:claude:c"] == stepped(Vault, "CA", asked(Text("t"), call("c"))).step.wanted


def test_behind_chat_is_anybody() -> None:
    """Chat has lists of details, and Google's signatures."""
    assert ["carrier:unknown:gpt-4:c", "carrier:google:gpt-4:c"] == stepped(Vault, "AC", asked(call("c"))).step.wanted
    details = Carrier(provider="unknown", kind="details", payload="[]", family="deepseek")
    store = kept("AC", Reasoning(raw_text=("hm",), carrier=details), call("c"), model="deepseek-v4")
    back = (Reasoning(summary=("hm",), carrier=details), call("c"))
    assert back == again("AC", store, call("c"), model="deepseek-v4", takes_details=True)
    assert (call("c"),) == again("AC", store, call("c"), model="deepseek-v4")


def test_what_is_asked_for_is_bounded() -> None:
    """A long loop asks for its latest calls."""
    wanted = stepped(Vault, "CG", asked(*(call(f"c{n}") for n in range(500)))).step.wanted
    assert MOST == len(wanted) and "carrier:google:gemini-3:c499" == wanted[-1]


def test_a_carrier_may_come_late_or_twice() -> None:
    """The last one counts, and a block that never closes keeps nothing."""
    made = stepped(Vault, "CG", Prompt())
    start = BlockStart(index=0, kind="tool_call", meta={"call_id": "c", "name": "f"})
    events: list[Event] = [
        ResponseStart(), start, BlockMeta(index=0, what="carrier", value=evolve(GEMINI, payload="old")),
        BlockDelta(index=0, channel="args", fragment="{}"), BlockMeta(index=0, what="carrier", value=GEMINI),
    ]  # fmt: skip
    made.back(events)
    assert {} == made.step.kept
    made.back([BlockStop(index=0)])
    assert {"carrier:google:gemini-3:c": envelope.sealed(GEMINI)} == made.step.kept


def test_nothing_found_changes_nothing() -> None:
    """Without a find the prompt is the very prompt."""
    prompt = asked(call("c"))
    assert stepped(Vault, "CG", prompt).prompt is prompt
    assert stepped(Vault, "CG", prompt, found={"other": "x"}).prompt is prompt
