"""Delivery status notifications (RFC 3464, RFC 6522, RFC 3461 §6; for UTF-8 addresses RFC 6533).

Guarantees: what `build` returns is 7-bit with CRLF line ends and no line over 998 octets,
whatever the remote said; only a sender whose own local part is not ASCII gets a UTF-8 To field
(the message then needs SMTPUTF8). Texts of others are made harmless and cut at 2 KB. Bcc is not
returned. Does not decide whether a report is due: `smtpplus.rules.reports` does.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from smtpplus.message import dsn_text
from smtpplus.message.charset import harmless
from smtpplus.message.encoded_fields import NotConvertibleError
from smtpplus.message.facts import ContentFacts
from smtpplus.message.headers import cut_spans, head_length, parse_head
from smtpplus.message.timestamp import write_date
from smtpplus.message.trace import message_id_field
from smtpplus.message.transfer import to_seven_bit
from smtpplus.message.transfer_encoding import to_quoted_printable
from smtpplus.values.address import Address
from smtpplus.values.envelope import EnvelopeRecipient
from smtpplus.values.status_codes import EnhancedCode
from smtpplus.values.xtext import from_xtext

__all__ = ["MAX_RETURNED_OCTETS", "Report", "ReportedRecipient", "build"]

MAX_RETURNED_OCTETS = 50 * 1024  # of the original, whole or header
_MAX_TEXT = 2_000  # characters of what a remote said
_FOLD_AT = 76
_HIDDEN = frozenset({"bcc", "resent-bcc"})
_WHOLE = b"Content-Type: message/rfc822\r\n\r\n"


@dataclass(frozen=True, slots=True)
class ReportedRecipient:
    """One recipient of the original and what became of it.

    `action` is failed, delayed, delivered, relayed or expanded (RFC 3464 §2.3.3). `diagnostic`
    is the remote's reply (``550 5.1.1 No such user``), empty where the fault was found without
    one; `text` says in a sentence what happened. Times are Unix seconds; `late_since` is when it
    was to be there that was handed on later.
    """

    recipient: EnvelopeRecipient
    action: str
    status: EnhancedCode
    diagnostic: str = ""
    text: str = ""
    remote_mta: str = ""
    last_attempt_at: float | None = None
    will_retry_until: float | None = None
    late_since: float | None = None

    @property
    def kind(self) -> str:
        """What people are told: the action, or "late"."""
        return self.action if self.late_since is None else "late"


@dataclass(frozen=True, slots=True)
class Report:
    """All that a DSN says.

    `sender` is the original's envelope sender, who gets it. `message_id` has no angle brackets.
    `envid` is xtext, as MAIL gave it. `original_content` is the whole original where it is to
    be returned (RET=FULL); above 50 KB only its header is. `deliver_by_at` is the time of BY=.
    """

    reporting_mta: str
    sender: Address
    message_id: str
    now: float
    arrived_at: float
    recipients: tuple[ReportedRecipient, ...]
    original_head: bytes
    envid: str | None = None
    original_content: bytes | None = None
    subject: str = ""
    deliver_by_at: float | None = None


def build(report: Report) -> bytes:
    """The DSN, head and body."""
    original = _original_part(report)
    is_whole = original.startswith(_WHOLE)
    parts = (_human_part(report, is_whole=is_whole), _status_part(report), original)
    boundary = _boundary(report.message_id, parts)
    delimiter = b"--" + boundary
    pieces = [_head(report, boundary)]
    for part in parts:
        if part:
            pieces += [
                delimiter,
                b"\r\n",
                part,
                b"" if part.endswith(b"\r\n") else b"\r\n",
                b"\r\n",
            ]
    return b"".join([*pieces, delimiter, b"--\r\n"])


def _head(report: Report, boundary: bytes) -> bytes:
    host = _host(report.reporting_mta)
    unique, _, domain = report.message_id.rpartition("@")
    lines = [
        f"Date: {write_date(report.now)}",
        f"From: Mail Delivery System <MAILER-DAEMON@{host}>",
        f"To: <{report.sender.wire}>",
        f"Subject: {dsn_text.subject(_kinds(report))}",
        message_id_field(unique or report.message_id, domain or host).decode("ascii").rstrip(),
        "Auto-Submitted: auto-replied",  # RFC 3834 §5
        "MIME-Version: 1.0",
        "Content-Type: multipart/report; report-type=delivery-status;",
        f'\tboundary="{boundary.decode("ascii")}"',
    ]
    notice = "This is a delivery status notification in MIME format (RFC 3464)."
    return "\r\n".join([*lines, "", notice, "", ""]).encode()


def _kinds(report: Report) -> set[str]:
    return {one.kind for one in report.recipients}


def _boundary(message_id: str, parts: tuple[bytes, ...]) -> bytes:
    """One that stands in no part; nobody could foresee it."""
    seed = message_id.encode("utf-8", "replace")
    while True:
        seed = hashlib.sha256(b"\0".join((seed, *parts))).hexdigest().encode("ascii")
        boundary = b"=_" + seed[:32]
        if not any(boundary in part for part in parts):
            return boundary


def _host(name: str) -> str:
    shown = "".join(
        letter for letter in name if letter.isascii() and (letter.isalnum() or letter in ".-")
    )
    return shown[:255] or "localhost"


# ------------------------------------------------ for people


def _human_part(report: Report, *, is_whole: bool) -> bytes:
    text = dsn_text.explanation(
        host=_host(report.reporting_mta),
        subject=harmless(report.subject)[:200],
        arrived=write_date(report.arrived_at),
        recipients=[
            dsn_text.Told(
                address=str(one.recipient.address),
                kind=one.kind,
                status=one.status,
                said=harmless(one.diagnostic)[:_MAX_TEXT],
                text=harmless(one.text)[:_MAX_TEXT],
                remote=_host(one.remote_mta) if one.remote_mta else "",
                until=write_date(one.will_retry_until) if one.will_retry_until else "",
                wanted_by=write_date(one.late_since) if one.late_since else "",
            )
            for one in report.recipients
        ],
        is_whole=is_whole,
    )
    return _part("text/plain; charset=utf-8", text.replace("\n", "\r\n").encode("utf-8", "replace"))


def _part(content_type: str, octets: bytes) -> bytes:
    """A part with its header, quoted-printable where it is not fit as it is."""
    facts = ContentFacts()
    facts.update(octets)
    if not facts.eight_bit and not facts.long_lines:
        return b"Content-Type: %s\r\n\r\n%s" % (content_type.encode("ascii"), octets)
    return b"Content-Type: %s\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n%s" % (
        content_type.encode("ascii"),
        to_quoted_printable(octets),
    )


# ------------------------------------------------ for programs


def _status_part(report: Report) -> bytes:
    """RFC 3464 §2; message/global-delivery-status where an address needs it (RFC 6533 §4)."""
    groups = [_message_fields(report)] + [_recipient_fields(one) for one in report.recipients]
    text = "".join("".join(group) + "\r\n" for group in groups)
    kind = "delivery-status" if text.isascii() else "global-delivery-status"
    return _part(f"message/{kind}", text.encode("utf-8", "replace"))


def _message_fields(report: Report) -> list[str]:
    fields = []
    if report.envid is not None:
        fields.append(_field("Original-Envelope-Id", _ascii(from_xtext(report.envid))))
    fields.append(_field("Reporting-MTA", f"dns; {_host(report.reporting_mta)}"))
    fields.append(_field("Arrival-Date", write_date(report.arrived_at)))
    if report.deliver_by_at is not None:  # RFC 2852
        fields.append(_field("Deliver-By-Date", write_date(report.deliver_by_at)))
    return fields


def _recipient_fields(one: ReportedRecipient) -> list[str]:
    address = one.recipient.address
    fields = []
    if one.recipient.orcpt:
        kind, _, value = one.recipient.orcpt.partition(";")
        original = harmless(from_xtext(value))[:500]
        fields.append(_field("Original-Recipient", f"{_ascii(kind)}; {original}"))
    address_type = "rfc822" if address.is_ascii else "utf-8"  # RFC 6533 §3
    fields.append(_field("Final-Recipient", f"{address_type}; {address.wire}"))
    fields.append(_field("Action", one.action if one.action.isalpha() else "failed"))
    fields.append(_field("Status", str(one.status)))
    if one.remote_mta:
        fields.append(_field("Remote-MTA", f"dns; {_host(one.remote_mta)}"))
    if one.diagnostic:
        fields.append(_field("Diagnostic-Code", f"smtp; {_ascii(one.diagnostic)}"))
    elif one.text:
        fields.append(_field("Diagnostic-Code", f"X-Smtpplus; {_ascii(one.text)}"))
    if one.last_attempt_at is not None:
        fields.append(_field("Last-Attempt-Date", write_date(one.last_attempt_at)))
    if one.will_retry_until is not None:
        fields.append(_field("Will-Retry-Until", write_date(one.will_retry_until)))
    return fields


def _ascii(text: str) -> str:
    return harmless(text)[:_MAX_TEXT].encode("ascii", "replace").decode("ascii").strip()


def _field(name: str, value: str) -> str:
    """One field, folded; a word that is too long for a line is cut into pieces."""
    words = [
        word[start : start + 500] for word in value.split() for start in range(0, len(word), 500)
    ]
    lines, line = [], f"{name}:"
    for number, word in enumerate(words):
        if number and len(line) + 1 + len(word) > _FOLD_AT:
            lines.append(line)
            line = ""
        line += f" {word}"
    return "\r\n".join([*lines, line]) + "\r\n"


# ------------------------------------------------ the original


def _original_part(report: Report) -> bytes:
    whole = report.original_content
    if whole is not None and len(whole) <= MAX_RETURNED_OCTETS:
        try:
            returned = to_seven_bit(_without_hidden(whole))
        except NotConvertibleError:
            pass  # its header says enough
        else:
            return _WHOLE + returned
    head = _without_hidden(report.original_head or (whole or b""))
    length = head_length(head)
    head = head[: len(head) if length is None else length].rstrip(b"\r\n")
    if len(head) > MAX_RETURNED_OCTETS:
        head = head[: head.rfind(b"\r\n", 0, MAX_RETURNED_OCTETS) + 2 or MAX_RETURNED_OCTETS]
    if not head:
        return b""
    return _part(
        "text/rfc822-headers" + ("" if head.isascii() else "; charset=utf-8"),
        head.rstrip(b"\r\n") + b"\r\n",
    )


def _without_hidden(octets: bytes) -> bytes:
    fields = parse_head(octets[: head_length(octets)])
    return cut_spans(octets, tuple((f.start, f.end) for f in fields if f.lower in _HIDDEN))
