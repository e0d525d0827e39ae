"""What a vendor's terms say of its login in other programs, told before it is used."""

from __future__ import annotations

from attrs import frozen


@frozen
class Terms:
    """The terms of one login.

    Args:
        notice: one line, for the log, when the gateway starts.
        forbidden: whether the vendor forbids it, so that the deployment must say ``i_accept_vendor_terms: true``.
    """

    notice: str
    forbidden: bool = False
