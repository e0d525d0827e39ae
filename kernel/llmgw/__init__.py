"""llmgw's kernel: what a plugin may use. The model is in ``llmgw.model``, the events in ``llmgw.events``."""

from __future__ import annotations

from llmgw.config import Config
from llmgw.errors import (
    BadRequest,
    ClientError,
    ConfigError,
    CredentialUnusable,
    Forbidden,
    GatewayError,
    GatewayFault,
    InvalidField,
    Misconfigured,
    ModelNotFound,
    NotFound,
    Redo,
    TooMany,
    Unauthorized,
    Unsupported,
    UpstreamBroken,
    UpstreamError,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from llmgw.events import Event, Events, Reply
from llmgw.exchange import Exchange
from llmgw.gateway import Gateway
from llmgw.hookspecs import hookimpl
from llmgw.identity import Identity
from llmgw.keyed import KeyBackend
from llmgw.model import Loss, ModelInfo, Profile, Request
from llmgw.nearest import nearest
from llmgw.secret import Secret
from llmgw.stages import (
    Backend,
    Clock,
    Command,
    Count,
    CredentialState,
    Crossing,
    Dialect,
    Endpoint,
    Filter,
    Head,
    Observer,
    Operation,
    Principal,
    Reader,
    Route,
    StateStore,
    Target,
    Writer,
)
from llmgw.transport import HttpBackend

__all__ = [
    "Backend",
    "BadRequest",
    "ClientError",
    "Clock",
    "Command",
    "Config",
    "ConfigError",
    "Count",
    "CredentialState",
    "CredentialUnusable",
    "Crossing",
    "Dialect",
    "Endpoint",
    "Event",
    "Events",
    "Exchange",
    "Filter",
    "Forbidden",
    "Gateway",
    "GatewayError",
    "GatewayFault",
    "Head",
    "HttpBackend",
    "Identity",
    "InvalidField",
    "KeyBackend",
    "Loss",
    "Misconfigured",
    "ModelInfo",
    "ModelNotFound",
    "NotFound",
    "Observer",
    "Operation",
    "Principal",
    "Profile",
    "Reader",
    "Redo",
    "Reply",
    "Request",
    "Route",
    "Secret",
    "StateStore",
    "Target",
    "TooMany",
    "Unauthorized",
    "Unsupported",
    "UpstreamBroken",
    "UpstreamError",
    "UpstreamRefused",
    "UpstreamTimeout",
    "UpstreamUnreachable",
    "Writer",
    "hookimpl",
    "nearest",
]
