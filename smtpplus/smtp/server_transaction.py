"""One mail transaction as the server side collects it: MAIL, then RCPT.

Guarantees: what MAIL and RCPT ask for is checked against what the listener offers; a recipient
is kept once. Raises `RefusedError` with the reply to give.
"""

from __future__ import annotations

from collections.abc import Callable

from smtpplus.smtp import server_replies as replies
from smtpplus.smtp.events import MailReceived
from smtpplus.smtp.grammar import (
    parse_notify,
    parse_orcpt,
    parse_parameters,
    parse_path,
    parse_size,
    split_path,
)
from smtpplus.smtp.server_settings import ServerSettings
from smtpplus.smtp.time_parameters import NO_WISHES, TIME_WORDS, offered, read_wishes
from smtpplus.values.address import Address
from smtpplus.values.envelope import Body, Envelope, EnvelopeRecipient, Ret
from smtpplus.values.errors import RefusedError
from smtpplus.values.reply import Reply
from smtpplus.values.xtext import is_xtext

__all__ = ["Transaction", "read_mail", "read_recipient"]

_MAX_ENVID = 100  # RFC 3461 §4.4
_BODIES = {"7BIT": Body.SEVEN_BIT, "8BITMIME": Body.EIGHT_BIT_MIME}  # RFC 6152 §2
_RETS = {"FULL": Ret.FULL, "HDRS": Ret.HDRS}  # RFC 3461 §4.3
_DSN_WORDS = {"RET", "ENVID", "NOTIFY", "ORCPT"}
_MAIL_WORDS = {"SIZE", "BODY", "SMTPUTF8", "RET", "ENVID", "AUTH"} | TIME_WORDS
_RCPT_WORDS = {"NOTIFY", "ORCPT"}
_NONE: dict[str, str | None] = {}


class Transaction:
    """Sender, parameters and recipients between MAIL and the end of the content."""

    __slots__ = ("_keys", "_places", "_recipients", "asked", "mail", "refused")

    def __init__(self, mail: MailReceived) -> None:
        self.mail = mail
        self.asked = 0  # RCPT commands, whatever became of them
        self.refused = 0  # recipients that were refused
        self._recipients: list[EnvelopeRecipient] = []
        self._places: list[int] = []
        self._keys: set[str] = set()

    def __len__(self) -> int:
        return len(self._recipients)

    def holds(self, recipient: EnvelopeRecipient) -> bool:
        """Was this address accepted before?"""
        return recipient.address.key in self._keys

    def add(self, recipient: EnvelopeRecipient) -> None:
        """Keep an accepted recipient."""
        self._keys.add(recipient.address.key)
        self._recipients.append(recipient)
        self._places.append(self.asked - 1)

    def envelope(self) -> Envelope:
        """All that MAIL and RCPT said."""
        mail = self.mail
        return Envelope(
            sender=mail.sender,
            recipients=tuple(self._recipients),
            body=mail.body,
            smtputf8=mail.smtputf8,
            ret=mail.ret,
            envid=mail.envid,
            declared_bytes=mail.declared_bytes,
            hold_for=mail.hold_for,
            hold_until=mail.hold_until,
            deliver_by=mail.deliver_by,
            mt_priority=mail.mt_priority,
            places=tuple(self._places) if self.asked > len(self._places) else (),
        )


def read_mail(argument: str, settings: ServerSettings, now: Callable[[], float]) -> MailReceived:
    """What ``MAIL FROM:…`` asks for; `now` gives Unix seconds."""
    path, text = split_path(argument, "FROM:")
    if not text:
        sender = parse_path(path, "5.1.7") if path else None
        if sender is not None:
            _check_ascii(sender)
        return MailReceived(sender, Body.SEVEN_BIT, False, None, None, 0)
    parameters = parse_parameters(text)
    _check_words(parameters, _MAIL_WORDS, settings)
    smtputf8 = "SMTPUTF8" in parameters
    if smtputf8 and parameters["SMTPUTF8"] is not None:
        raise _bad("SMTPUTF8 takes no value")
    sender = parse_path(path, "5.1.7") if path else None
    if sender is not None and not smtputf8:
        _check_ascii(sender)
    declared = parse_size(parameters["SIZE"]) if "SIZE" in parameters else 0
    wishes = NO_WISHES
    if not TIME_WORDS.isdisjoint(parameters):
        wishes = read_wishes(parameters, settings, now())
    mail = MailReceived(
        sender=sender,
        body=_body(parameters),
        smtputf8=smtputf8,
        ret=_ret(parameters),
        envid=_envid(parameters),
        declared_bytes=declared,
        hold_for=wishes.hold_for,
        hold_until=wishes.hold_until,
        deliver_by=wishes.deliver_by,
        mt_priority=wishes.mt_priority,
    )
    if declared > settings.max_message_bytes:  # RFC 1870 §6.1
        raise RefusedError(replies.TOO_LARGE)
    return mail


def read_recipient(argument: str, settings: ServerSettings, *, smtputf8: bool) -> EnvelopeRecipient:
    """What ``RCPT TO:…`` asks for."""
    path, text = split_path(argument, "TO:")
    parameters = _NONE
    if text:
        parameters = parse_parameters(text)
        _check_words(parameters, _RCPT_WORDS, settings)
    if path.lower() == "postmaster":  # RFC 5321 §4.1.1.3
        path = f"{path}@{settings.hostname}"
    address = parse_path(path, "5.1.3")
    if not smtputf8:
        _check_ascii(address)
    if not parameters:
        return EnvelopeRecipient(address)
    return EnvelopeRecipient(
        address,
        parse_notify(parameters["NOTIFY"]) if "NOTIFY" in parameters else None,
        parse_orcpt(parameters["ORCPT"]) if "ORCPT" in parameters else None,
    )


def _check_words(
    parameters: dict[str, str | None], known: set[str], settings: ServerSettings
) -> None:
    for word in parameters:
        if (
            word not in known
            or (word in _DSN_WORDS and not settings.dsn)
            or (word == "SMTPUTF8" and not settings.smtputf8)
            or (word in TIME_WORDS and not offered(word, settings))
        ):
            raise RefusedError(Reply.of(555, "5.5.4", f"The parameter {word[:40]} is not offered"))


def _check_ascii(address: Address) -> None:
    """RFC 6531 §3.5."""
    if not (address.local.isascii() and address.domain.isascii()):
        raise RefusedError(Reply.of(553, "5.6.7", "A UTF-8 address needs SMTPUTF8 with MAIL"))


def _body(parameters: dict[str, str | None]) -> Body:
    if "BODY" not in parameters:
        return Body.SEVEN_BIT
    body = _BODIES.get((parameters["BODY"] or "").upper())
    if body is None:
        raise _bad("BODY= takes 7BIT or 8BITMIME")
    return body


def _ret(parameters: dict[str, str | None]) -> Ret | None:
    if "RET" not in parameters:
        return None
    ret = _RETS.get((parameters["RET"] or "").upper())
    if ret is None:
        raise _bad("RET= takes FULL or HDRS")
    return ret


def _envid(parameters: dict[str, str | None]) -> str | None:
    if "ENVID" not in parameters:
        return None
    envid = parameters["ENVID"]
    if not envid or len(envid) > _MAX_ENVID or not is_xtext(envid):
        raise _bad(f"ENVID= takes xtext of at most {_MAX_ENVID} octets")
    return envid


def _bad(why: str) -> RefusedError:
    return RefusedError(Reply.of(501, "5.5.4", f"Bad parameter: {why}"))
