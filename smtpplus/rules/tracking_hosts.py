"""Under which name tracked links lead back to us: the installation's, or a sender domain's own.

A sender domain's tracking host is a CNAME to the installation's, so that links in a mail have the
sender's name. Scheme, port and path stay those of the installation's tracking URL.

Guarantees: pure; a base has no slash at its end. Raises UsageError with what was expected.
Does not look anything up (`smtpplus.rules.dns_records` has the record).
"""

from __future__ import annotations

from urllib.parse import urlsplit

from smtpplus.values.address import Address
from smtpplus.values.errors import AddressError, UsageError
from smtpplus.values.submission import SenderDomain

__all__ = ["fault_of", "host_of", "read_tracking_host", "tracking_base"]


def tracking_base(tracking_url: str, domain: SenderDomain | None = None) -> str:
    """What stands before ``/t/…`` and ``/u/…`` in the mail of a sender domain (None: any).

    Args:
        tracking_url: the installation's, ``https://host[:port][/path]``.
        domain: whose mail it is.
    """
    base = tracking_url.rstrip("/")
    if domain is None or not domain.tracking_host:
        return base
    parts = urlsplit(base)
    port = f":{parts.port}" if parts.port is not None else ""
    return f"{parts.scheme}://{domain.tracking_host}{port}{parts.path}"


def host_of(tracking_url: str) -> str:
    """The host of a tracking URL, in lower case: where a domain's CNAME has to lead."""
    return urlsplit(tracking_url).hostname or ""


def fault_of(tracking_url: str) -> str:
    """Why a tracking URL is not fit for mail that leaves the machine, as a sentence; or ""."""
    parts = urlsplit(tracking_url)
    host = parts.hostname or ""
    if host in {"localhost", "::1"} or host.startswith("127."):
        return f"Links in mail would lead to {host}, where every recipient's own machine is."
    if parts.scheme != "https":
        return "Unsubscribing with one click needs https (RFC 8058 §3.1)."
    return ""


def read_tracking_host(text: str, domain: str) -> str:
    """The host that `text` says for the sender domain `domain`; "" for none of its own.

    Raises:
        UsageError: it is no host name, or not below the domain.
    """
    name = text.strip().rstrip(".")
    if not name:
        return ""
    try:
        host = Address.parse(f"any@{name}").ascii_domain.lower()
    except AddressError as error:
        raise UsageError(f"tracking_host: {text[:80]!r} is not a host name ({error}).") from error
    if not host.endswith(f".{domain.lower()}"):
        raise UsageError(
            f"tracking_host: expected a name below {domain}, such as links.{domain}, got {host}."
        )
    return host
