"""How errors of any origin look to a client of this dialect."""

from __future__ import annotations

from llmgw import jsons
from llmgw.errors import GatewayError, UpstreamError
from llmgw_dialects.grammar import own_error
from llmgw_dialects.openai_chat.grammar import GRAMMAR
from llmgw_dialects.openai_errors import error_body

__all__ = ["error_body", "write_error"]


def write_error(error: GatewayError) -> bytes:
    """The body of an error: a provider's own if it is of this dialect, else one from which the SDK raises."""
    own = own_error(GRAMMAR, error.upstream) if isinstance(error, UpstreamError) else None
    return jsons.dumps(error_body(error)) if own is None else own
