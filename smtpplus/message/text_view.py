"""A part's octets as text to search in, with the way back from each character to its octet.

In charsets where every octet below 128 is an ASCII character and nothing else, the text is the
octets themselves, one character each: offsets are the same, and octets that are wrong in their
charset stay as they are. In the others (ISO-2022-JP, Shift_JIS, GB 18030, Big5, UTF-16 …) the
text is decoded octet by octet and the map is kept.

Guarantees: linear time. What is put in is encoded in the declared charset itself, not in the
superset that it is read with. Raises `NotFittingError` where the charset lacks a character of
plain text; in HTML it becomes a character reference. `view_of` answers with a reason, as text,
where the part cannot be edited.
"""

from __future__ import annotations

import codecs
import functools
import re
from array import array
from typing import NamedTuple

from smtpplus.message.charset import codec_of, decode
from smtpplus.message.edits import NotFittingError

__all__ = ["MAX_MAPPED", "TextView", "view_of"]

MAX_MAPPED = 256 * 1024  # octets of a part whose map is made octet by octet
GUESSED = "cp1252"  # what octets above 127 are read as where no charset is named
_MOST_OCTETS = 4  # of a character
_UNFIT = frozenset({"utf-7"})
_MAPPED = frozenset(
    {"cp932", "cp936", "cp949", "cp950", "big5hkscs", "gb18030", "johab", "hz", "iso2022_kr"}
)
_SEVEN_BIT = ("iso2022", "hz")  # codecs whose octets are all below 128
_WIDTHS = {"utf-16-le": 2, "utf-16-be": 2, "utf-32-le": 4, "utf-32-be": 4}
# https://encoding.spec.whatwg.org/ reads these labels as their supersets; we write the thing itself.
_WRITTEN = {
    "iso88591": "latin-1",
    "latin1": "latin-1",
    "l1": "latin-1",
    "gb2312": "gb2312",
    "gbk": "gbk",
    "xgbk": "gbk",
    "iso2022jp": "iso2022_jp",
    "euckr": "euc_kr",
    "big5": "big5",
    "utf8": "utf-8",
    "unicode11utf8": "utf-8",
}
_MARKS = (  # RFC 2781 §3.2: byte order marks
    (b"\xff\xfe\0\0", "utf-32", "utf-32-le"),
    (b"\0\0\xfe\xff", "utf-32", "utf-32-be"),
    (b"\xff\xfe", "utf-16", "utf-16-le"),
    (b"\xfe\xff", "utf-16", "utf-16-be"),
    (b"\xef\xbb\xbf", "utf-8", "utf-8"),
)


class TextView(NamedTuple):
    """`text` is for searching ASCII in; `real` says what stands there.

    `mark` is the number of characters of a byte order mark: nothing goes before them.
    """

    octets: bytes
    text: str
    codec: str
    written: str
    is_html: bool
    newline: str
    mark: int = 0
    ends: array[int] | None = None
    width: int = 1

    @property
    def is_guessed(self) -> bool:
        """Is it unknown what its octets above 127 are? Then only ASCII can be put in."""
        return self.codec == GUESSED and self.written == "ascii" and not self.octets.isascii()

    def real(self, start: int = 0, end: int | None = None) -> str:
        """The characters of ``text[start:end]``."""
        piece = self.text[start:end]
        if self.ends is not None or piece.isascii():
            return piece
        return decode(piece.encode("latin-1"), self.codec)

    def character(self, index: int) -> str:
        """The one that begins at `index`."""
        if self.ends is not None or self.text[index].isascii():
            return self.text[index]
        decoder = codecs.getincrementaldecoder(self.codec)("replace")
        return decoder.decode(self.octets[index : index + _MOST_OCTETS])[:1]

    def start_of(self, index: int) -> int:
        """The octet before which something can be put in at `index`.

        One of its neighbours must be ASCII, or `index` an end of the text.
        """
        if self.ends is None:
            return index
        if index >= len(self.text):
            return len(self.octets)
        if self.text[index].isascii():
            return self.ends[index] - self.width
        return self.end_of(index)

    def end_of(self, index: int) -> int:
        """The octet after what stands before `index`."""
        if self.ends is None:
            return index
        return self.ends[index - 1] if index else 0

    def encoded(self, text: str) -> bytes:
        """`text`, without a line end that the part does not use, in the part's charset.

        Raises:
            NotFittingError: it is plain text and the charset lacks a character.
        """
        if "\n" in text:
            text = text.replace("\r\n", "\n").replace("\n", self.newline)
        if self.is_html:
            return text.encode(self.written, "xmlcharrefreplace")
        try:
            return text.encode(self.written)
        except UnicodeEncodeError as error:
            raise NotFittingError(f"{self.written} lacks {error.object[error.start]!r}") from None


def view_of(
    octets: bytes, charset: str, *, is_html: bool, is_encoded: bool, may_use_lf: bool
) -> TextView | str:
    """A view of the decoded body of a part, or the reason why there is none.

    Args:
        octets: the body without its transfer encoding.
        charset: as declared, "" where none is.
        is_html: is it HTML rather than plain text?
        is_encoded: does it have a transfer encoding? Without one what is put in is 7-bit where
            the body is, and there is no UTF-16 or UTF-32 (RFC 2045 §2.8).
        may_use_lf: may the part's line ends be LF (inside base64)?
    """
    codec, mark = _codec(octets, charset)
    if not codec:
        return f"its charset {charset!r} is not known"
    if codec in _UNFIT:
        return f"its charset {charset!r} is not edited"
    if _is_mislabelled(octets, codec, is_encoded=is_encoded):
        return f"it is not valid in its charset {charset!r}"
    written = _written(charset, codec)
    if not is_encoded and octets.isascii() and not codec.startswith(_SEVEN_BIT):
        written = "ascii"
    if codec not in _MAPPED and codec not in _WIDTHS and not codec.startswith("iso2022"):
        text = octets.decode("latin-1")
        newline = _newline(text, may_use_lf=may_use_lf)
        return TextView(octets, text, codec, written, is_html, newline, mark)
    if len(octets) > MAX_MAPPED:
        return f"it is longer than {MAX_MAPPED // 1024} KiB in {charset}"
    mapped = _mapped(octets, codec)
    if mapped is None:
        return f"it is not valid in its charset {charset!r}"
    text, mark, ends = mapped
    newline, width = _newline(text, may_use_lf=may_use_lf), _WIDTHS.get(codec, 1)
    return TextView(octets, text, codec, written, is_html, newline, mark, ends, width)


def _newline(text: str, *, may_use_lf: bool) -> str:
    return "\n" if may_use_lf and "\n" in text and "\r\n" not in text else "\r\n"


def _is_mislabelled(octets: bytes, codec: str, *, is_encoded: bool) -> bool:
    """Is it UTF-16 or UTF-32 in name alone, or without the name? Their line ends hold NUL."""
    if codec in _WIDTHS:
        return not is_encoded or b"\0" not in octets
    return octets.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))


def _codec(octets: bytes, charset: str) -> tuple[str, int]:
    """The codec to read with ("" for none), and the octets of a mark that is no character."""
    codec = codec_of(charset)
    if codec == "utf-8" and _label(charset) not in {"utf8", "unicode11utf8"}:
        codec = ""  # ASCII
    if not codec and (not charset or codec_of(charset)):
        if b"\x1b$" in octets:
            return "iso2022_jp_ext", 0  # its letters are 7-bit: unnamed it is common
        if octets.isascii() or _is_utf8(octets):
            return "utf-8", 3 if octets.startswith(codecs.BOM_UTF8) else 0
        return GUESSED, 0
    for mark, family, exact in _MARKS:
        if octets.startswith(mark) and codec.startswith(family):
            return exact, len(mark)
    if codec in {"utf-16", "utf-32"}:
        return f"{codec}-be", 0  # RFC 2781 §4.3
    return codec, 0


def _is_utf8(octets: bytes) -> bool:
    try:
        octets.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


@functools.lru_cache(maxsize=512)
def _label(charset: str) -> str:
    return re.sub(r"[^a-z0-9]", "", charset.lower())


def _written(charset: str, codec: str) -> str:
    if codec in {"utf-8", GUESSED} and codec_of(charset) in {"", "utf-8"}:
        return _WRITTEN.get(_label(charset), "ascii")
    return _WRITTEN.get(_label(charset), codec)


def _mapped(octets: bytes, codec: str) -> tuple[str, int, array[int]] | None:
    """The text, the characters of its mark, and for each character the octet after it."""
    decoder = codecs.getincrementaldecoder(codec)("strict")
    characters: list[str] = []
    ends = array("L")
    try:
        for end in range(1, len(octets) + 1):
            made = decoder.decode(octets[end - 1 : end])
            if made:
                characters.append(made)
                ends.extend([end] * len(made))
        # It must end in ASCII: else what is put behind it would be read as something else.
        probe = b"A" if codec.startswith(_SEVEN_BIT) else b""
        rest = decoder.decode(probe, final=True)
    except (UnicodeError, ValueError):
        return None
    text = "".join(characters)
    return None if rest != probe.decode() else (text, int(text.startswith("\ufeff")), ends)
