"""The command lines of an SMTP client, with the parameters the remote has offered.

Guarantees: a line holds no control character, whatever the values held (a command cannot carry
a second one). Parameters the remote has not offered are left out (DS4). Raises ValueError for
what the caller had to check before: an address that needs SMTPUTF8 where it is not offered.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Sequence

from smtpplus.values.envelope import Body, Envelope, EnvelopeRecipient, Notify

__all__ = [
    "command_line",
    "command_lines",
    "ehlo_keywords",
    "mail_command",
    "needs_smtputf8",
    "rcpt_command",
]

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_KEYWORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
_EIGHT_BIT = Body.EIGHT_BIT_MIME
_NOTIFY_ORDER = (Notify.NEVER, Notify.SUCCESS, Notify.FAILURE, Notify.DELAY)


def command_line(command: str) -> bytes:
    """`command` with its CRLF.

    Raises:
        ValueError: it holds a control character, and so could be more than one command.
    """
    return command_lines([command])


def command_lines(commands: Sequence[str]) -> bytes:
    """Each of `commands` with its CRLF.

    Raises:
        ValueError: one holds a control character, and so could be more than one command.
    """
    for command in commands:
        if not command.isprintable() and _CONTROL.search(command):
            raise ValueError(f"The SMTP command {command!r} holds a control character.")
    return ("\r\n".join(commands) + "\r\n").encode()


def needs_smtputf8(envelope: Envelope) -> bool:
    """Can this envelope only go where SMTPUTF8 is offered (RFC 6531 §3.4)?"""
    if envelope.smtputf8 or (envelope.sender is not None and not envelope.sender.is_ascii):
        return True
    for recipient in envelope.recipients:  # noqa: SIM110 - a loop makes no generator
        if not recipient.address.is_ascii:
            return True
    return False


def mail_command(envelope: Envelope, size: int, offered: Container[str]) -> str:
    """MAIL FROM with SIZE, BODY, SMTPUTF8, RET, ENVID, BY and MT-PRIORITY as they are offered.

    HOLDFOR and HOLDUNTIL are never passed on: it was held here.

    Raises:
        ValueError: SMTPUTF8 is needed and not offered.
    """
    sender = envelope.sender.wire if envelope.sender else ""
    line = f"MAIL FROM:<{sender}>"
    if "SIZE" in offered:
        line += f" SIZE={size}"  # RFC 1870 §6
    if envelope.body is _EIGHT_BIT and "8BITMIME" in offered:
        line += " BODY=8BITMIME"  # RFC 6152 §2
    if needs_smtputf8(envelope):
        if "SMTPUTF8" not in offered:
            raise ValueError("The envelope needs SMTPUTF8, which the remote has not offered.")
        line += " SMTPUTF8"
    if "DSN" in offered:  # RFC 3461 §4.3, §4.4
        if envelope.ret is not None:
            line += f" RET={envelope.ret}"
        if envelope.envid is not None:
            line += f" ENVID={_parameter(envelope.envid)}"
    if envelope.deliver_by is not None and "DELIVERBY" in offered:
        line += f" BY={envelope.deliver_by}"  # RFC 2852 §4
    if envelope.mt_priority is not None and "MT-PRIORITY" in offered:
        line += f" MT-PRIORITY={envelope.mt_priority}"  # RFC 6710 §3
    return line


def rcpt_command(recipient: EnvelopeRecipient, offered: Container[str]) -> str:
    """RCPT TO, with NOTIFY and ORCPT where DSN is offered (RFC 3461 §4.1, §4.2)."""
    line = f"RCPT TO:<{recipient.address.wire}>"
    if "DSN" in offered:
        if recipient.notify:
            line += f" NOTIFY={','.join(n for n in _NOTIFY_ORDER if n in recipient.notify)}"
        if recipient.orcpt is not None:
            line += f" ORCPT={_parameter(recipient.orcpt)}"
    return line


def ehlo_keywords(lines: Iterable[bytes]) -> dict[str, str]:
    """What an EHLO reply offers: `lines` are its texts after the first (RFC 5321 §4.1.1.1).

    A line that is no keyword is passed over. The old ``AUTH=LOGIN`` counts as AUTH.
    """
    keywords: dict[str, str] = {}
    for line in lines:
        word, _, parameters = line.decode("ascii", "replace").strip().partition(" ")
        if word[:5].upper() == "AUTH=":
            word, parameters = "AUTH", f"{word[5:]} {parameters}"
        if not _KEYWORD.fullmatch(word):
            continue
        word, parameters = word.upper(), parameters.strip()
        if word == "AUTH" and word in keywords:
            parameters = f"{keywords[word]} {parameters}"
        keywords[word] = parameters
    return keywords


def _parameter(value: str) -> str:
    """`value` of an esmtp-parameter.

    Raises:
        ValueError: it holds a blank, and so could be more than one parameter.
    """
    if " " in value:
        raise ValueError(f"The SMTP parameter {value!r} holds a blank.")
    return value
