"""List-Unsubscribe, List-Unsubscribe-Post, List-Id, Precedence, CFBL-Address: which go out.

`plan` decides once per message from its head and the list's policy: which of the sender's own
fields stay and which are cut. `ListFields.write` then fills one recipient's URL and addresses in.

* List-Unsubscribe (RFC 2369 §3.2) always on `subscribed` streams, by choice on `transactional`;
  one https URI first, then mailto; with List-Unsubscribe-Post (RFC 8058 §3.1).
* The sender's own is kept or replaced, as the list says. It is never there twice.
* List-Id (RFC 2919 §2) and Precedence on `subscribed` streams only, so that transactional mail is
  not filed as promotion; the sender's own stay.
* CFBL-Address and CFBL-Feedback-ID (RFC 9477 §3) where one of our signatures has the address's
  domain (CF1); the sender's own go then.

Guarantees: each field at most once (UN4); fields unfolded, as some signers on the way break
folded ones; no line over 998 octets: the mailto goes first. Raises ValueError for a URL or an
address that would break its field. Pure.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from dataclasses import dataclass

from smtpplus.message.headers import HeaderField
from smtpplus.values.submission import Stream

__all__ = ["CfblPolicy", "ListFields", "ListPolicy", "OwnField", "plan"]

_MAX_LINE = 998  # RFC 5322 §2.1.1, octets without CRLF
_URI = re.compile(
    r"(?:https|http(?=://(?:127\.|localhost[:/]|\[::1\])))://[!-+\--;=?-~]{1,900}"
)  # visible ASCII but for < > and the comma
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~\-]{1,64}@[A-Za-z0-9.\-]{1,255}")
_TOKEN = re.compile(r"[A-Za-z0-9._=+\-]{1,200}")
_URI_LETTERS = str.maketrans({letter: f"%{ord(letter):02X}" for letter in "%/?#&;`{|}^"})
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9\-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9\-]*[a-z0-9])?)+")
_PHRASE = re.compile(r"[^A-Za-z0-9 _\-]+")
_UNSUBSCRIBE, _POST = "list-unsubscribe", "list-unsubscribe-post"
_CFBL = frozenset({"cfbl-address", "cfbl-feedback-id"})


class OwnField(enum.StrEnum):
    """What becomes of a List-Unsubscribe that the sender wrote."""

    KEEP = "keep"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True)
class CfblPolicy:
    """Where complaints may be sent; `address` is in a domain that signs this message."""

    address: str


@dataclass(frozen=True, slots=True)
class ListPolicy:
    """What a list wants. `list_id` is ``name.host``, "" for none; `list_name` is its phrase."""

    stream: Stream
    unsubscribe: bool = False
    own: OwnField = OwnField.KEEP
    list_id: str = ""
    list_name: str = ""
    cfbl: CfblPolicy | None = None


@dataclass(frozen=True, slots=True)
class ListFields:
    """The decision for one message.

    `cuts` are the (start, end) spans of the head that go, in order. `unsubscribe` tells whether
    `write` needs a URL, `kept_own` that the sender's List-Unsubscribe stays instead. `fixed` are
    the fields that are the same for all recipients.
    """

    cuts: tuple[tuple[int, int], ...]
    unsubscribe: bool
    kept_own: bool
    cfbl: CfblPolicy | None
    fixed: bytes

    def write(self, *, url: str = "", mailto: str = "", feedback_token: str = "") -> bytes:
        """The fields to put before this recipient's head.

        Args:
            url: the recipient's https unsubscribe URL; needed where `unsubscribe`.
            mailto: the address to unsubscribe at, "" for none.
            feedback_token: for CFBL-Feedback-ID; needed where `cfbl`.

        Raises:
            ValueError: one of them is needed and missing, or cannot stand in a field.
        """
        pieces = [self.fixed]
        if self.unsubscribe:
            pieces.append(_unsubscribe(url, mailto))
        if self.cfbl is not None:
            pieces.append(_cfbl(self.cfbl.address, feedback_token))
        return b"".join(pieces)


def plan(head: Sequence[HeaderField], policy: ListPolicy) -> ListFields:
    """What goes out of the list fields of a message with this `head`.

    Raises:
        ValueError: the policy's list id or CFBL address cannot stand in a field.
    """
    subscribed = policy.stream is Stream.SUBSCRIBED
    wanted = subscribed or policy.unsubscribe
    own = [field for field in head if field.lower == _UNSUBSCRIBE and field.unfolded]
    keeps = bool(own) and (policy.own is OwnField.KEEP or not wanted)
    if subscribed and keeps and not _is_one_click(own[0], head):
        keeps = False  # there is a way out by one click, whatever the sender offers
    cut = [
        field
        for field in head
        if (field.lower == _UNSUBSCRIBE and (field not in own[:1] if keeps else wanted))
        or (field.lower == _POST and wanted and not keeps)
        or (field.lower in _CFBL and policy.cfbl is not None)
    ]
    if keeps:
        cut += [field for field in head if field.lower == _POST][1:]
    if policy.cfbl is not None and not _ADDRESS.fullmatch(policy.cfbl.address):
        raise ValueError(f"{policy.cfbl.address!r} cannot stand in CFBL-Address")
    return ListFields(
        cuts=tuple(sorted((field.start, field.end) for field in cut)),
        unsubscribe=wanted and not keeps,
        kept_own=keeps,
        cfbl=policy.cfbl,
        fixed=_fixed({field.lower for field in head}, policy) if subscribed else b"",
    )


def _is_one_click(own: HeaderField, head: Sequence[HeaderField]) -> bool:
    """Is it a pair of RFC 8058 §3.1: an https URL and List-Unsubscribe-Post?"""
    posts = [field.unfolded.strip().lower() for field in head if field.lower == _POST]
    return "<https://" in own.unfolded.lower() and posts[:1] == ["list-unsubscribe=one-click"]


def _fixed(own: set[str], policy: ListPolicy) -> bytes:
    lines = []
    if policy.list_id and "list-id" not in own:
        if not _LABEL.fullmatch(policy.list_id) or len(policy.list_id) > 255:
            raise ValueError(f"{policy.list_id!r} cannot stand in List-Id")
        name = " ".join(_PHRASE.sub(" ", policy.list_name).split())[:60].strip()
        lines.append(
            f'List-Id: "{name}" <{policy.list_id}>' if name else f"List-Id: <{policy.list_id}>"
        )
    if "precedence" not in own:
        lines.append("Precedence: bulk")
    return "".join(line + "\r\n" for line in lines).encode("ascii")


def _unsubscribe(url: str, mailto: str) -> bytes:
    if not _URI.fullmatch(url):
        raise ValueError(f"{url!r} cannot stand in List-Unsubscribe: an https URL is needed")
    if mailto and not _ADDRESS.fullmatch(mailto):
        raise ValueError(f"{mailto!r} cannot stand in List-Unsubscribe")
    line = f"List-Unsubscribe: <{url}>"
    second = f", <mailto:{_in_uri(mailto)}?subject=unsubscribe>" if mailto else ""
    if len(line) + len(second) <= _MAX_LINE:
        line += second
    return f"{line}\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n".encode("ascii")


def _in_uri(address: str) -> str:
    """An address inside mailto: what has a meaning in a URI is percent-encoded (RFC 6068 §2)."""
    return address.translate(_URI_LETTERS)


def _cfbl(address: str, token: str) -> bytes:
    if not _TOKEN.fullmatch(token):
        raise ValueError("CFBL-Feedback-ID needs a token")
    return f"CFBL-Address: {address}; report=arf\r\nCFBL-Feedback-ID: {token}\r\n".encode("ascii")
