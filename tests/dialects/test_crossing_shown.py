"""Media in tool results, for models whose results hold text alone."""

from __future__ import annotations

from crossed import CHAT, assistant, call, features, leg, result, user

from llmgw.model import Base64, Image, Message, Prompt, Text, ToolResult
from llmgw_dialects.crossing.shown import Shown

PNG = Image(Base64("image/png", "iVBORw0KGgoAAAAN"))


def test_media_are_shown_behind_the_run_of_results() -> None:
    """One message of the user's for all results of a run, each picture with its result's number and its tool's name."""
    seen = ToolResult(call_id="c1", parts=(Text("a view"), PNG))
    prompt = Prompt(items=(user("hi"), assistant(call("c1", "look"), call("c2", "read")), seen, result("c2"), user("and now?")))
    step = Shown(leg(target=CHAT, result_media=False))
    items = step.prompt(prompt).items

    assert [Text("a view"), Text("[attached below]")] == list(items[2].parts)  # type: ignore[attr-defined]
    assert Message(role="user", parts=(Text("Image 1 from result 1 (look):"), PNG)) == items[4]
    assert (prompt.items[3], prompt.items[4]) == (items[3], items[5])
    assert ["tool_result.media"] == features(step)


def test_where_results_hold_media_nothing_changes() -> None:
    """The very prompt is handed back."""
    prompt = Prompt(items=(user("hi"), assistant(call("c1")), ToolResult(call_id="c1", parts=(PNG,))))
    assert prompt is Shown(leg(result_media=True)).prompt(prompt)
    plain = Prompt(items=(user("hi"), assistant(call("c1")), result("c1")))
    assert plain is Shown(leg(result_media=False)).prompt(plain)
