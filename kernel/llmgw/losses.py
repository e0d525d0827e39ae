"""What may be lost on the way, and what must not: the loss policy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal, get_args

from attrs import evolve, field, frozen

from llmgw.errors import Unsupported
from llmgw.model import Loss
from llmgw.stages import Dialect

Worst = Literal["reject", "emulate", "approximate", "drop"]
"""The worst that may become of a feature: nothing, said by other means, said less exactly, not said at all."""

_RANK: Final[dict[str, int]] = {worst: rank for rank, worst in enumerate(get_args(Worst))}
_ACTIONS: Final = {"emulated": "emulate", "approximated": "approximate", "dropped": "drop"}

DEFAULTS: Final[Mapping[str, Worst]] = {
    "*": "drop",
    "n": "approximate",
    "input": "emulate",  # a picture or a sound that the model would never get
    "input.search_result": "approximate",
    "modalities": "emulate",
    "audio_out": "emulate",
    "server_state": "emulate",
    "tools.mcp": "emulate",
}
"""What changes the meaning of a request is refused where the provider cannot be told; a matter of taste is let go."""


@frozen
class LossPolicy:
    """The worst that may become of each feature.

    Args:
        worst: by the feature's name or one before a dot of it (``input`` is also ``input.audio``); ``*`` is all others.
    """

    worst: Mapping[str, Worst] = field(factory=dict)

    def of(self, feature: str) -> Worst:
        """What may become of a feature."""
        for table in (self.worst, DEFAULTS):
            name = feature
            while name:
                if name in table:
                    return table[name]
                name = name.rpartition(".")[0]
            if "*" in table:
                return table["*"]
        return "drop"

    def judged(self, losses: Iterable[Loss], dialect: Dialect, backend: str) -> Iterator[Loss]:
        """These losses, with their paths as the client spells them.

        Args:
            losses: found while a request was written.
            dialect: the client's.
            backend: whom it was written for.

        Raises:
            Unsupported: one of them may not be.
        """
        for loss in losses:
            path = dialect.spelled(loss.path)
            if _RANK[_ACTIONS[loss.action]] > _RANK[self.of(loss.feature)]:
                value = f"={loss.from_}" if loss.from_ and loss.from_ != dialect.name else ""
                raise Unsupported(
                    f"'{path}'{value} cannot be served by the back-end '{backend}', which would have to leave it out "
                    f"({loss.feature}: {loss.action}). Leave it out yourself, choose another model, or allow it: "
                    f"losses: {{{loss.feature}: {_ACTIONS[loss.action]}}} in the configuration.",
                    param=path,
                )
            yield loss if path == loss.path else evolve(loss, path=path)
