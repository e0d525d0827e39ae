"""Stopping to listen without hanging up on those who are already at the door.

A socket that stops listening resets every connection that it has not accepted yet. Its client has sent a request by then and
cannot know whether somebody read it, so a proxy before us may not ask another instance.
"""

from __future__ import annotations

import ctypes
import logging
import socket
import struct
import sys

log = logging.getLogger("llmgw")

_ATTACH_FILTER = 26
"""SO_ATTACH_FILTER, which Python's socket does not name (asm-generic/socket.h)."""

_NO_SYN = (
    (0x30, 0, 0, 13),  # load byte 13 of the TCP header, its flags (RFC 9293, 3.1)
    (0x45, 0, 1, 0x02),  # SYN is not set: skip one
    (0x06, 0, 0, 0),  # drop it
    (0x06, 0, 0, 0xFFFF_FFFF),  # keep all of it
)
"""A program of the system's packet filter (kernel.org, networking/filter.rst): code, jump if true, jump if false, value."""


def turn_away(sock: socket.socket) -> None:
    """Let no new connection begin on a listening socket; those that have begun come through and can be accepted.

    Who comes now hears nothing and asks again after a second (RFC 6298, 2): by then the socket is closed and refuses, or another
    process listens. Where the system has no such filter, those who come in the instant before closing are reset.

    Args:
        sock: that listens.
    """
    if sys.platform != "linux":
        return
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in _NO_SYN))
    try:
        sock.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, struct.pack("HL", len(_NO_SYN), ctypes.addressof(program)))
    except OSError as error:
        log.info("connections that begin now may be reset: %s", error.strerror)
