"""Where a login may be shown: at its vendor's own door and nowhere else."""

from __future__ import annotations

from yarl import URL


def strange(url: str, vendor: str) -> str | None:
    """What is wrong with showing a vendor's login at a URL; None where nothing is.

    Args:
        url: as configured.
        vendor: the vendor's own.
    """
    try:
        given, own = URL(url), URL(vendor)
        same = given.scheme == own.scheme == "https" and given.host == own.host and given.port == own.port
    except ValueError:
        given, same = URL(), False
    if same:
        return None
    another = f"{given.scheme}://{given.host} is another" if given.host else "what is configured is no URL"
    return (
        f"a subscription's login is shown to {URL(vendor).origin()} only, and {another}; "
        "for a test server of your own say `allow_insecure_origin: true`"
    )
