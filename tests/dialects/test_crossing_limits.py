"""Too many tools are refused, never cut."""

from __future__ import annotations

import pytest
from crossed import leg

from llmgw.errors import Unsupported
from llmgw.model import FunctionTool, Namespace, Prompt
from llmgw_dialects.crossing.limits import Limits


def tools(count: int) -> tuple[FunctionTool, ...]:
    return tuple(FunctionTool(name=f"t{n}") for n in range(count))


def test_as_many_as_it_takes() -> None:
    """Up to the limit, or without one, the prompt is handed on."""
    for prompt, most in ((Prompt(tools=tools(128)), 128), (Prompt(tools=tools(500)), None)):
        assert Limits(leg(tools_max=most)).prompt(prompt) is prompt


def test_one_more_is_refused() -> None:
    """The message names the count and the limit, the error the field; tools in namespaces count."""
    with pytest.raises(Unsupported, match=r"129 tools.*at most 128") as refused:
        Limits(leg(tools_max=128)).prompt(Prompt(tools=(*tools(127), Namespace(name="n", tools=tools(2)))))

    assert refused.value.param == "tools"
    assert refused.value.status == 400
