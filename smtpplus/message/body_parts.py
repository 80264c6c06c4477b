"""Which parts of a message are what people read: the ones that may be changed, and where.

| found | answer |
|---|---|
| ``text/plain``, ``text/html``, inline, without file name (or an alternative) | changed |
| every child of ``multipart/alternative``; the first of ``related``; the inline text of others | changed |
| the first of them in ``mixed`` | gets header, footer and pixel |
| attachments, inline images, calendar, AMP, attached messages | as they are |
| ``multipart/signed``, ``multipart/encrypted``, S/MIME, TNEF anywhere | nothing is changed |
| ``multipart/report``, a structure beyond the limits of the scan | nothing is changed |

Pure, never raises, linear time.
"""

from __future__ import annotations

from dataclasses import dataclass

from smtpplus.message.copy_plan import LeftAlone
from smtpplus.message.structure import Part, Structure

__all__ = ["BodyPart", "body_parts"]

_SEALED = {
    "multipart/signed": "it is signed",
    "multipart/encrypted": "it is encrypted",
    "application/pkcs7-mime": "it is signed or encrypted (S/MIME)",
    "application/x-pkcs7-mime": "it is signed or encrypted (S/MIME)",
    "application/pgp-encrypted": "it is encrypted (PGP)",
    "application/ms-tnef": "Outlook shows its TNEF part instead of its text",
    "application/vnd.ms-tnef": "Outlook shows its TNEF part instead of its text",
    "multipart/report": "it is a report",
}
_NAMED = {"smime.p7m": "application/pkcs7-mime", "winmail.dat": "application/ms-tnef"}
_TEXT = frozenset({"text/plain", "text/html"})
_SHOWING = frozenset({"multipart/alternative", "multipart/related"})


@dataclass(frozen=True, slots=True)
class BodyPart:
    """A part to be changed; `is_main`: header, footer and pixel go here."""

    index: int
    part: Part
    is_main: bool

    @property
    def is_html(self) -> bool:
        """Is it HTML rather than plain text?"""
        return self.part.type == "text/html"


def body_parts(structure: Structure) -> tuple[tuple[BodyPart, ...], tuple[LeftAlone, ...]]:
    """The parts to be changed, in order, and why others, or all, are left alone."""
    if not structure.complete:
        return (), (LeftAlone(-1, "its structure is too large"),)
    attached = _attached(structure)
    for index, part in enumerate(structure.parts):
        if index not in attached and (reason := _sealed(part)):
            return (), (LeftAlone(-1, reason),)
    return _found(structure)


def _attached(structure: Structure) -> set[int]:
    """Indexes of the parts that stand inside attached messages."""
    inside: set[int] = set()
    for index, part in enumerate(structure.parts):
        if part.parent >= 0:
            parent = structure.parts[part.parent]
            if part.parent in inside or parent.type.startswith("message/"):
                inside.add(index)
    return inside


def _sealed(part: Part) -> str:
    return _SEALED.get(_NAMED.get(part.filename.lower(), part.type), "")


def _found(structure: Structure) -> tuple[tuple[BodyPart, ...], tuple[LeftAlone, ...]]:
    children: dict[int, list[int]] = {}
    for index, part in enumerate(structure.parts):
        children.setdefault(part.parent, []).append(index)
    found: list[BodyPart] = []

    def walk(index: int, *, is_main: bool) -> bool:
        """Take what is read of a part; was there anything? As deep as the scan goes at most."""
        part = structure.parts[index]
        if not (part.is_multipart and part.has_children):
            if not _is_read(part, structure.parts[part.parent].type if index else ""):
                return False
            found.append(BodyPart(index, part, is_main))
            return True
        if part.type == "multipart/alternative":
            walked = [walk(child, is_main=is_main) for child in children[index]]
            return any(walked)
        if part.type == "multipart/related":  # RFC 2387 §3.2: the first is the root
            roots = (c for c in children[index] if _may_hold_text(structure.parts[c]))
            first = next(roots, None)
            return first is not None and walk(first, is_main=is_main)
        any_found = False
        for child in children[index]:
            any_found |= walk(child, is_main=is_main and not any_found)
        return any_found

    if walk(0, is_main=True):
        return tuple(found), ()
    return (), (LeftAlone(-1, "it has no text that is not an attachment"),)


def _may_hold_text(part: Part) -> bool:
    return part.type in _TEXT or part.is_multipart


def _is_read(part: Part, parent: str) -> bool:
    """Is it shown as text? An alternative is, also where its program gave it a file name."""
    attached = part.disposition == "attachment" or (part.filename and parent not in _SHOWING)
    return part.type in _TEXT and not part.has_children and not attached
