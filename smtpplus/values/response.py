"""What a recipient did with a mail: opened, clicked, unsubscribed.

Guarantees: frozen. Who did it (a person or a machine) was decided before
(`smtpplus.rules.opens`); the store counts by it.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

__all__ = ["Response", "ResponseKind"]


class ResponseKind(enum.StrEnum):
    """What happened."""

    OPENED = "opened"
    CLICKED = "clicked"
    UNSUBSCRIBED = "unsubscribed"
    RESUBSCRIBED = "resubscribed"


@dataclass(frozen=True, slots=True)
class Response:
    """One response to one delivery, as the token named it.

    `by` is the class of who did it: ``person``, ``privacy_proxy``, ``prefetch``, ``scanner``,
    ``unknown`` (the values of `OpenClass` in `smtpplus.rules.opens`). `target` is the URL of a
    click, `link` its number. `client_ip` and `agent` are empty in privacy mode. `reason` is what
    an unsubscriber said, or how: ``one-click``, ``page``, ``mail``. `only_counted` (opens in
    privacy mode): the counters and nothing else, no event and nothing at the recipient.
    """

    kind: ResponseKind
    at: float
    account_id: int
    list_id: int
    message_id: int
    delivery_id: int
    by: str = "person"
    target: str = ""
    link: int = 0
    client_ip: str = ""
    agent: str = ""
    reason: str = ""
    only_counted: bool = False
