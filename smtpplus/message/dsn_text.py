"""The words of a DSN: what happened, to whom, what to do (the part for people).

Guarantees: plain lines of at most 76 characters where words allow it. Everything given has
been made harmless by the caller.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from smtpplus.values.status_codes import EnhancedCode

__all__ = ["Told", "explanation", "subject"]

_WIDTH = 74

_ADVICE = {
    # RFC 3463 §3, most exact first: (subject, detail), then (subject, None)
    (1, 10): "The domain takes no mail at all. Use another address of the recipient.",
    (
        1,
        None,
    ): "Check the address for a typing mistake, and send the message again to the right one.",
    (2, 1): "The mailbox is switched off. Reach the recipient in another way.",
    (2, 2): "The mailbox is full. Try again later, or tell the recipient in another way.",
    (2, 3): "The message is too large for this mailbox. Send a smaller one, or a link.",
    (
        2,
        None,
    ): "The recipient's mailbox did not take the message. Reach the recipient in another way.",
    (3, 4): "The message is too large for the recipient's server. Send a smaller one, or a link.",
    (3, None): "The recipient's mail system has a fault. Try again later.",
    (4, 7): "The recipient's server could not be reached, or did not accept the message, in all "
    "this time. Check the domain of the address, or reach the recipient in another way.",
    (
        4,
        None,
    ): "The recipient's server could not be reached. Check the domain of the address, or try later.",
    (6, 7): "The address needs SMTPUTF8, which the recipient's server does not know.",
    (
        6,
        None,
    ): "The recipient's server cannot take the message in this form. Send it as plain text.",
    (
        7,
        None,
    ): "The recipient's server refused the message by its rules. Its answer above says why; "
    "show it to your mail administrator.",
}
_OTHERWISE = "The answer above says why; show it to your mail administrator if it is not clear."


@dataclass(frozen=True, slots=True)
class Told:
    """One recipient, in strings that are safe to write."""

    address: str
    kind: str
    status: EnhancedCode
    said: str
    text: str
    remote: str
    until: str
    wanted_by: str


def subject(kinds: set[str]) -> str:
    """The Subject field."""
    if "failed" in kinds:
        return "Undelivered mail"
    if "delayed" in kinds:
        return "Delayed mail: delivery is still being tried"
    if "late" in kinds:
        return "Late mail: it was handed on after the time you set"
    return "Delivered mail"


def explanation(
    *, host: str, subject: str, arrived: str, recipients: Sequence[Told], is_whole: bool
) -> str:
    """The whole text, lines ending in LF. `is_whole`: all of the message is attached."""
    named = f'Your message "{subject}"' if subject else "Your message without a subject"
    blocks = [f"This is the mail server {host}.", f"{named}, received {arrived}:"]
    for kind, opening in _OPENINGS.items():
        chosen = [one for one in recipients if one.kind == kind]
        if chosen:
            blocks += [opening, *(_about(one) for one in chosen)]
    attached = "message" if is_whole else "message's header"
    blocks.append(f"This report was made automatically. A copy of the {attached} is attached.")
    return "\n\n".join(block if "\n" in block else _wrapped(block) for block in blocks) + "\n"


_OPENINGS = {
    "failed": "It could not be delivered to the following recipients, and will not be tried again.",
    "delayed": "It has not been delivered yet to the following recipients. It is still being tried: "
    "you need not send it again.",
    "late": "It was handed on for the following recipients, but later than you wanted.",
    "relayed": "It was handed on for the following recipients to a server that confirms no delivery.",
    "expanded": "It was handed to the following mailing lists.",
    "delivered": "It was delivered to the following recipients.",
}


def _about(one: Told) -> str:
    lines = [f"  <{one.address}>"]
    if one.said:
        where = f"The server {one.remote} answered" if one.remote else "The server answered"
        lines.append(_wrapped(f"{where}: {one.said}", "    "))
    elif one.text:
        lines.append(_wrapped(one.text, "    "))
    if one.kind == "failed":
        lines.append(_wrapped(f"What to do: {_advice(one.status)}", "    "))
    elif one.kind == "delayed" and one.until:
        lines.append(_wrapped(f"It will be tried until {one.until}.", "    "))
    elif one.kind == "late":
        lines.append(_wrapped(f"It was wanted there by {one.wanted_by}.", "    "))
    return "\n".join(lines)


def _advice(status: EnhancedCode) -> str:
    exact = _ADVICE.get((status.subject, status.detail))
    return exact or _ADVICE.get((status.subject, None)) or _OTHERWISE


def _wrapped(text: str, indent: str = "") -> str:
    return textwrap.fill(
        text,
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=True,
        break_on_hyphens=False,
    )
