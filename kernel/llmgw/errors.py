"""Everything that can go wrong with an exchange, and whose fault it is.

::

    GatewayError
    ├── ClientError                 the client's fault: the same request will fail again
    │   ├── BadRequest         400  not JSON, not this dialect, not decodable
    │   │   └── Unsupported    400  understood, but the chosen model cannot do it
    │   ├── InvalidField       422  a field is missing or has the wrong type; ``param`` is its path
    │   ├── Unauthorized       401  no key, or a wrong one
    │   ├── Forbidden          403  a good key that may not do this
    │   ├── NotFound           404  no such path
    │   │   ├── ModelNotFound  404  no back-end has this model; the message has the nearest names
    │   │   └── ConversationNotFound 404  the response that a request goes on from is not known here
    │   ├── MethodNotAllowed   405
    │   ├── TooSlow            408  the request's body did not arrive in time
    │   ├── TooLarge           413
    │   └── TooMany            429  the gateway's own limits
    ├── UpstreamError          502  the provider's fault: another target may cure it
    │   ├── UpstreamRefused     =   the provider said so itself; status, headers and body are kept
    │   ├── UpstreamBroken     502  it answered garbage, or stopped in the middle
    │   ├── UpstreamUnreachable 503 no connection
    │   ├── UpstreamTimeout    504  silent for too long
    │   ├── CredentialUnusable 401  the login for it is missing, has ended or was revoked; the message says what to run
    │   └── Resting            503  left alone for a while after it failed; 429 where it was asked too often
    └── GatewayFault           500  ours
        ├── Misconfigured      500  found only when it was needed: a key that is not set
        ├── ShuttingDown       503
        └── Deadline           504  the exchange took longer than the deployment allows

    ConfigError                     the deployment's YAML; ends the start, never an exchange
    Redo                            control flow: a filter wants another attempt spliced into the reply

A message never holds a secret, a path of this machine or a traceback; it says what to do next.
Dialects write these in their own SDK's shape; ``kind`` is what they translate.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from attrs import field, frozen

if TYPE_CHECKING:
    from llmgw.model import Request

Kind = Literal[
    "invalid_request", "authentication", "billing", "permission", "not_found", "model_not_found", "conflict",
    "request_too_large", "rate_limited", "overloaded", "upstream_error", "timeout", "context_length", "content_policy",
    "cancelled", "unsupported_feature", "gateway_config", "internal",
]  # fmt: skip


@frozen
class UpstreamReply:
    """What a provider answered instead of a reply.

    Args:
        status: its HTTP status; below 400 where an error came in a 200.
        headers: as received, names in lower case.
        body: as received, decompressed.
        dialect: the dialect it is written in, so that a client of the same one gets these very bytes.
        content_type: of the body.
        began: whether the body is a stream that began as a reply does, so that its readers look for errors in it.
    """

    status: int
    body: bytes = field(repr=False)
    dialect: str
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    content_type: str = "application/json"
    began: bool = False


class GatewayError(Exception):
    """Any failure of one exchange.

    Args:
        message: what happened and what to do next, for the person at the client.
        param: the path of the client's field at fault, as ``messages[0].role``.
        retry_after: seconds after which another try may succeed.
    """

    status: int = 500
    kind: Kind = "internal"
    code: str | None = None
    """A word for machines, finer than the kind, as ``invalid_api_key``."""

    def __init__(self, message: str, *, param: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after = retry_after


class ClientError(GatewayError):
    """The client's fault: the same request will fail again."""

    status = 400
    kind: Kind = "invalid_request"


class BadRequest(ClientError):
    """The body is not what the dialect calls a request."""


class Unsupported(BadRequest):
    """The request is good, but the chosen model or dialect cannot express it, and it must not be lost."""

    kind: Kind = "unsupported_feature"
    code: str | None = "unsupported_feature"


class InvalidField(ClientError):
    """A field is missing or has the wrong type; ``param`` names it."""

    status = 422


class Unauthorized(ClientError):
    """Nobody we know."""

    status = 401
    kind: Kind = "authentication"
    code: str | None = "invalid_api_key"


class Forbidden(ClientError):
    """Somebody we know, who may not do this."""

    status = 403
    kind: Kind = "permission"


class NotFound(ClientError):
    """No such path."""

    status = 404
    kind: Kind = "not_found"


class ModelNotFound(NotFound):
    """No back-end of this deployment has the model."""

    kind: Kind = "model_not_found"
    code: str | None = "model_not_found"

    def __init__(self, message: str, *, param: str | None = "model", retry_after: float | None = None) -> None:
        super().__init__(message, param=param, retry_after=retry_after)


class ConversationNotFound(NotFound):
    """The response that a request goes on from is not known here."""

    code: str | None = "previous_response_not_found"


class MethodNotAllowed(ClientError):
    """The path is served, under another method."""

    status = 405


class TooSlow(ClientError):
    """The request's body did not arrive in time."""

    status = 408
    kind: Kind = "timeout"


class TooLarge(ClientError):
    """The request's body is larger than the deployment allows."""

    status = 413
    kind: Kind = "request_too_large"


class TooMany(ClientError):
    """The gateway's own limits are reached."""

    status = 429
    kind: Kind = "rate_limited"
    code: str | None = "rate_limit_exceeded"


class UpstreamError(GatewayError):
    """The provider's fault.

    Args:
        kind: its class, where the provider told; routes decide by it.
        upstream: what the provider answered, where it did.

    ``cure`` names what the same target would take the request without: ``field`` the one that ``param`` names, ``carriers``
    opaque state that is another account's or model's.
    """

    cure: Literal["field", "carriers"] | None = None

    status = 502
    kind: Kind = "upstream_error"

    CURABLE: ClassVar[frozenset[Kind]] = frozenset(
        {"rate_limited", "overloaded", "upstream_error", "timeout", "authentication", "billing", "permission",
         "model_not_found"}
    )  # fmt: skip

    def __init__(
        self,
        message: str,
        *,
        kind: Kind | None = None,
        code: str | None = None,
        upstream: UpstreamReply | None = None,
        param: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, param=param, retry_after=retry_after)
        self.kind = kind or type(self).kind
        self.code = code or type(self).code
        self.upstream = upstream

    @property
    def curable(self) -> bool:
        """Whether another key, model or back-end may do better."""
        return self.kind in self.CURABLE


class UpstreamRefused(UpstreamError):
    """The provider itself answered with an error.

    Args:
        upstream: the answer.
        status: what the client is told, where the answer came under another one, as an error in a 200.
    """

    def __init__(
        self,
        message: str,
        *,
        upstream: UpstreamReply,
        status: int | None = None,
        kind: Kind | None = None,
        code: str | None = None,
        param: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, kind=kind, code=code, upstream=upstream, param=param, retry_after=retry_after)
        self.status = upstream.status if status is None else status


class UpstreamBroken(UpstreamError):
    """The provider answered what is no reply, or stopped in the middle of one."""


class UpstreamUnreachable(UpstreamError):
    """No connection to the provider."""

    status = 503


class UpstreamTimeout(UpstreamError):
    """The provider was silent for too long."""

    status = 504
    kind: Kind = "timeout"


class CredentialUnusable(UpstreamError):
    """The login for a provider is missing, corrupt, revoked or has ended; the message says which command to run."""

    status = 401
    kind: Kind = "authentication"
    code: str | None = "credential_unusable"


class Resting(UpstreamError):
    """A target, or all credentials of one, that is left alone for a while after what it has answered: it was not asked.

    Args:
        kind: of what it had answered; its status follows.
        retry_after: seconds until it is asked again.
    """

    status = 503
    kind: Kind = "overloaded"

    _STATUSES: ClassVar[Mapping[Kind, int]] = {
        "rate_limited": 429, "billing": 429, "authentication": 401, "permission": 403, "timeout": 504
    }  # fmt: skip

    def __init__(self, message: str, *, kind: Kind = "overloaded", retry_after: float | None = None) -> None:
        super().__init__(message, kind=kind, retry_after=retry_after)
        self.status = self._STATUSES.get(kind, type(self).status)


class GatewayFault(GatewayError):
    """Our own fault."""


class Misconfigured(GatewayFault):
    """Something the deployment must set, found when it was needed."""

    kind: Kind = "gateway_config"


class ShuttingDown(GatewayFault):
    """The gateway is stopping and the grace is over."""

    status = 503
    kind: Kind = "overloaded"


class Deadline(GatewayFault):
    """The exchange took longer than the deployment allows."""

    status = 504
    kind: Kind = "timeout"


class ConfigError(Exception):
    """The deployment's configuration is wrong; each line names the place and the next step.

    Args:
        problems: one sentence each, ending in ``@ path.in.the.yaml`` where there is a path.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Redo(Exception):
    """Raised inside ``Filter.events()``: make another attempt and splice it into the open reply.

    Args:
        request: what to ask this time; it enters the chain behind the filter that raised.
    """

    def __init__(self, request: Request) -> None:
        super().__init__("another attempt")
        self.request = request
