"""What there is to tell of keys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from llmgw import Report
from llmgw.model import JSON
from llmgw_key_rotation.keys import Key
from llmgw_key_rotation.rotating import Shared
from llmgw_routes.rests import Rest


async def report(shared: Shared, keys: Sequence[Key]) -> Report:
    """A row for each key, and one for each model for which it rests.

    Args:
        shared: what all exchanges have in common.
        keys: of all back-ends.
    """
    await shared.uses.flush()
    state = shared.uses.state
    counts = shared.uses.counts(await state.get_many(shared.uses.names(keys)))
    rows = [row for key, count in zip(keys, counts, strict=True) for row in await _rows(shared, key, round(count))]
    return Report("keys", rows)


async def _rows(shared: Shared, key: Key, uses: int) -> list[dict[str, JSON]]:
    models = shared.seen.of(key.backend)
    whole, *single = await shared.rests.look([key.mark, *(key.mark_for(model) for model in models)])
    narrow = [(model, _resting(shared, one)) for model, one in zip(models, single, strict=True)]
    head: dict[str, JSON] = {"backend": key.backend, "key": key.name, "uses": uses}
    return [{**head, **told} for told in _told(_resting(shared, whole), narrow)]


def _told(rest: Rest | None, single: Sequence[tuple[str, Rest | None]]) -> Iterator[dict[str, JSON]]:
    yield {"model": "all", **_state(rest)}
    yield from ({"model": model, **_state(one)} for model, one in single if one is not None)


def _resting(shared: Shared, rest: Rest | None) -> Rest | None:
    return rest if shared.rests.left(rest) > 0 else None


def _state(rest: Rest | None) -> dict[str, JSON]:
    if rest is None:
        return {"state": "used", "until": None}
    return {"state": f"rests: {rest.kind}", "until": datetime.fromtimestamp(rest.until, UTC).isoformat(timespec="seconds")}
