"""Addresses that carry a token: the return path, and the address to unsubscribe at.

``b-<token>@bounce-domain`` and ``u-<token>@…``. Guarantees: every local part matches
``[a-z0-9._=+-]{1,64}`` (YH2) and is read in any case (VE2). What a token is worth is for
`smtpplus.message.token` to say. Raises nothing.
"""

from __future__ import annotations

import re

from smtpplus.message.token import Purpose, token_length

__all__ = ["local_part", "read_local_part"]

_PREFIXES = {Purpose.RETURN_PATH: "b-", Purpose.UNSUBSCRIBE: "u-"}
_PURPOSES = {prefix: purpose for purpose, prefix in _PREFIXES.items()}
_LOCAL = re.compile(r"([bBuU]-)([0-9A-Va-v]+)")


def local_part(purpose: Purpose, token: str) -> str:
    """The local part that carries `token`; `purpose` is RETURN_PATH or UNSUBSCRIBE."""
    return _PREFIXES[purpose] + token


def read_local_part(local: str) -> tuple[Purpose, str] | None:
    """Purpose and token of a local part, the token not verified; None where it has not the form."""
    match = _LOCAL.fullmatch(local)
    if match is None:
        return None
    purpose = _PURPOSES[match[1].lower()]
    return (purpose, match[2]) if len(match[2]) == token_length(purpose) else None
