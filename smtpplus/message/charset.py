"""Octets to text that can be shown: declared charsets, wrong ones, missing ones.

Guarantees: never raises, linear time, only the charsets of mail are ever looked up (a codec
name comes from a stranger: ``idna``, ``unicode_escape``, ``zlib`` and the like are not
charsets). `harmless` leaves no control character, line separator or direction override.
Does not guess languages: what is not UTF-8 and not declared is read as Windows-1252.
"""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = ["codec_of", "decode", "harmless"]

_CODECS = {
    **{f"iso8859{n}": f"iso8859-{n}" for n in range(2, 17) if n != 12},
    **{f"windows{n}": f"cp{n}" for n in (874, *range(1250, 1259))},
    **{f"cp{n}": f"cp{n}" for n in (437, 850, 852, 855, 858, 866, 874, 932, 936, 949, 950)},
    **{f"cp{n}": f"cp{n}" for n in range(1250, 1259)},
    **{f"ibm{n}": f"cp{n}" for n in (437, 850, 852, 855, 866)},
    **{f"iso2022jp{n}": f"iso2022_jp_{n}" for n in (1, 2, 3)},
    "ascii": "utf-8",  # what is labelled ASCII and holds more is nearly always UTF-8
    "usascii": "utf-8",
    "ansix341968": "utf-8",
    "utf8": "utf-8",
    "unicode11utf8": "utf-8",
    "utf7": "utf-7",
    "utf16": "utf-16",
    "utf16le": "utf-16-le",
    "utf16be": "utf-16-be",
    "utf32": "utf-32",
    "utf32le": "utf-32-le",
    "utf32be": "utf-32-be",
    # https://encoding.spec.whatwg.org/: Latin-1 is read as its superset.
    "iso88591": "cp1252",
    "latin1": "cp1252",
    "l1": "cp1252",
    "latin2": "iso8859-2",
    "latin9": "iso8859-15",
    "iso2022jp": "iso2022_jp_ext",
    "iso2022kr": "iso2022_kr",
    "shiftjis": "cp932",
    "sjis": "cp932",
    "xsjis": "cp932",
    "windows31j": "cp932",
    "eucjp": "euc_jp",
    "euckr": "cp949",
    "ksc56011987": "cp949",
    "ksc5601": "cp949",
    "uhc": "cp949",
    "johab": "johab",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "xgbk": "gb18030",
    "gb18030": "gb18030",
    "hzgb2312": "hz",
    "big5": "big5hkscs",
    "big5hkscs": "big5hkscs",
    "koi8r": "koi8-r",
    "koi8u": "koi8-u",
    "tis620": "cp874",
    "macintosh": "mac-roman",
    "macroman": "mac-roman",
    "xmaccyrillic": "mac-cyrillic",
}
_MAX_NAME = 64

_BREAKS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_BREAKS_IN_LINES = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_INVISIBLE = re.compile(
    r"[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\U000e0000-\U000e007f]"
)
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def decode(octets: bytes, charset: str = "") -> str:
    """The text that `octets` are: by `charset` where it is known and fits, else UTF-8, else CP1252."""
    if not charset and octets.isascii():
        return octets.decode("ascii")
    codec = codec_of(charset)
    for name in (codec, "utf-8", "cp1252"):
        if not name:
            continue
        try:
            return _SURROGATE.sub("\ufffd", octets.decode(name))
        except (UnicodeError, ValueError):
            continue
    if codec and codec not in {"utf-8", "cp1252"}:
        return _SURROGATE.sub("\ufffd", octets.decode(codec, "replace"))
    return octets.decode("latin-1")


@lru_cache(maxsize=512)
def codec_of(charset: str) -> str:
    """The codec that reads `charset`, "" where it is not one of mail's."""
    if not charset or len(charset) > _MAX_NAME:
        return ""
    return _CODECS.get(re.sub(r"[^a-z0-9]", "", charset.lower()), "")


def harmless(text: str, *, lines: bool = False) -> str:
    r"""`text` without anything that breaks lines, hides or turns text round.

    With `lines`, tabs and line ends stay, the latter as ``\n``.
    """
    if lines:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        text = _BREAKS_IN_LINES.sub(" ", text)
        return text if text.isascii() else _SURROGATE.sub("\ufffd", _INVISIBLE.sub("", text))
    if text.isprintable():  # no control, format, surrogate or line-separating character
        return text
    return _SURROGATE.sub("\ufffd", _INVISIBLE.sub("", _BREAKS.sub(" ", text)))
