"""Addresses and domains as people type them."""

from __future__ import annotations

from smtpplus.values.address import Address
from smtpplus.values.errors import AddressError, UsageError

__all__ = ["mail_address", "mail_domain"]


def mail_address(text: str) -> Address:
    """The address that `text` is.

    Raises:
        UsageError: it is none.
    """
    try:
        return Address.parse(text.strip())
    except AddressError as error:
        raise UsageError(f"{text or 'An empty text'} is no mail address: {error}") from error


def mail_domain(text: str) -> str:
    """The domain that `text` is, in A-labels; an address literal is one, too.

    Raises:
        UsageError: it is none.
    """
    try:
        return Address.parse(f"any@{text.strip().rstrip('.')}").ascii_domain
    except AddressError as error:
        raise UsageError(f"{text or 'An empty text'} is no mail domain: {error}") from error
