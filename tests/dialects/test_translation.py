"""What each pair of dialects carries (``docs/translation.md``): nothing differs on the far side that was not told."""

from __future__ import annotations

import pytest
from probes import Probe, attempts, tried

ATTEMPTS = list(attempts())


@pytest.mark.parametrize(("probe", "front", "back"), ATTEMPTS, ids=[f"{p.name}-{f}{b}".replace(" ", "_") for p, f, b in ATTEMPTS])
def test_nothing_is_lost_silently(probe: Probe, front: str, back: str) -> None:
    """What a provider gets is what the client said, or the loss log or a refusal says what it is not."""
    assert tried(probe, front, back).verdict != "lost"


@pytest.mark.parametrize(("probe", "front", "back"), [one for one in ATTEMPTS if one[0].name in (
    "text", "system text", "tools", "a call and its result", "parallel calls and their results", "image", "PDF",
    "a tool that must be called", "most tokens",
)], ids=lambda one: getattr(one, "name", one))  # fmt: skip
def test_what_agents_live_by_is_kept(probe: Probe, front: str, back: str) -> None:
    """Texts, tools, calls, results, pictures and documents get everywhere as they are."""
    found = tried(probe, front, back)

    assert found.verdict == "kept" or (probe.name, back, found.verdict) in NEARLY


NEARLY = {("a tool that must be called", "A", "approximated")}
"""With a model that thinks, Anthropic takes no forced choice."""
