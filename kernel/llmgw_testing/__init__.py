"""For testing llmgw and its plugins: a provider on a real socket, a gateway in process or as a program, time that stands still.

The pytest plugin (``llmgw_testing.fixtures``) is there once llmgw is installed; its fixtures are ``provider``, ``gateway`` and
``serve``.
"""

from __future__ import annotations

from llmgw_testing.checks import check_backend, check_filter
from llmgw_testing.clock import FakeClock
from llmgw_testing.cuts import every_cut
from llmgw_testing.gateway import RunningGateway, run_gateway
from llmgw_testing.program import Program
from llmgw_testing.provider import Answer, Break, Hang, Provider, Seen, Wait, raw, stream, whole

__all__ = [
    "Answer",
    "Break",
    "FakeClock",
    "Hang",
    "Program",
    "Provider",
    "RunningGateway",
    "Seen",
    "Wait",
    "check_backend",
    "check_filter",
    "every_cut",
    "raw",
    "run_gateway",
    "stream",
    "whole",
]
