"""The pattern of a subject: what varies from message to message becomes a placeholder.

``Ticket 123 solved`` and ``Ticket 456 solved`` have the pattern ``Ticket {number} solved``:
numbers, ids, dates, times, amounts, mail addresses, links, what stands in quotes or brackets, and
names after a greeting, before a first comma, after a last one, or known from the recipient. Reply
marks (Re:, AW:, R:) go. A bracket that begins a subject stays, with its inside made a pattern:
it is who sends (``[Shop] …``).

Replacing too much is harmless: two subjects meet in one campaign only when all the rest of them is
the same. Guarantees: deterministic, needs not know the language, linear time; the key of a pattern
knows one placeholder only, so that an id of digits alone and one with a letter meet. Raises
nothing. What is not seen here is learnt from many: `smtpplus.rules.subject_learning`.
"""

# ruff: noqa: RUF001 - quotation marks and dashes of many languages are what is looked for

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from smtpplus.rules.subject_words import (
    AMBIGUOUS_MONTHS,
    CURRENCIES,
    FUNCTION_WORDS,
    GREETINGS,
    LABELS,
    MONTHS,
    REPLY_MARKS,
    TITLES,
    WEEKDAYS,
)
from smtpplus.values.learnt_pattern import PLACEHOLDER

__all__ = ["SubjectPattern", "pattern_of", "plain_subject"]

_MAX_SUBJECT = 250  # characters
_MAX_PERSONAL = 20  # words
# Placeholders while at work: one character each, from the private use area, so that what was
# replaced is not looked at again.
_KINDS = ("number", "id", "date", "time", "amount", "address", "link", "text", "name")
_MARK = {kind: chr(0xE000 + number) for number, kind in enumerate(_KINDS)}
_SHOWN = {ord(mark): f"{{{kind}}}" for kind, mark in _MARK.items()}
_ANY_MARK = f"[{_MARK['number']}-{_MARK['name']}]"
_PRIVATE = re.compile("[\ue000-\uf8ff]")


def _words(words: Iterable[str]) -> str:
    return "|".join(sorted(map(re.escape, words), key=len, reverse=True))


_REPLY = re.compile(
    rf"^(?:(?:{_words(REPLY_MARKS)})(?:\[\d+\]|\(\d+\)|\^\d+)?\s?:\s?)+", re.IGNORECASE
)
_ANY_MONTH = rf"(?:{_words([*MONTHS, *AMBIGUOUS_MONTHS])})"
_CURRENCY = rf"(?:[$€£¥₹₽₺₴₩]|R\$|Fr\.|\b(?:{_words(CURRENCIES)})\b)"
_DECIMAL = r"\d+(?:[.,'’\u00a0\u202f ]\d{3})*(?:[.,]\d{1,2})?(?!\d)"
_CLOCK = r"(?:[T ]\d{1,2}:\d{2}(?::\d{2})?(?:\.\d+)?(?:Z|[+-]\d{2}:?\d{2})?)?"
_ORDINAL = r"(?:st|nd|rd|th|\.|º|er)?"
_YEAR = r"(?:,? (?:de )?\d{4}\b)?"
_HAS_DIGIT, _HAS_LETTER = r"(?=[\w\-/.]{0,80}\d)", r"(?=[\w\-/.]{0,80}[^\W\d_])"
_CAP = r"[^\W\d_a-zà-öø-ÿ][\w'’\-]{0,30}"  # a letter that is no lower-case Latin one, and on
_PARTICLE = r"(?:(?:de|di|da|del|van|von|der|la|le) ){0,2}"
_NAME = rf"(?:(?i:{_words(TITLES)})\.? )?{_CAP}(?: {_PARTICLE}{_CAP}){{0,3}}"

# What to look for, in this order, and what has to be there for it to be worth looking: a guard
# is a name of `_guards`.
_STEPS = tuple(
    (guard, re.compile(pattern, re.IGNORECASE), _MARK[kind])
    for guard, kind, pattern in (
        ("at", "address", r"[\w.+\-]{1,64}@[\w\-]{1,63}(?:\.[\w\-]{1,63}){1,5}"),
        ("link", "link", r"\b(?:https?://|www\.)\S{1,200}"),
        ("quote", "text", r"\"[^\"]{1,200}\"|“[^”]{1,200}”|„[^“”]{1,200}[“”]|‹[^›]{1,200}›"),
        ("quote", "text", r"«[^»]{1,200}»|»[^«]{1,200}«|`[^`]{1,200}`"),
        ("quote", "text", r"‘[^’]{1,200}’(?!\w)|(?<!\w)'[^']{1,200}'(?!\w)"),
        ("bracket", "text", r"\([^()]{1,200}\)|<[^<>]{1,200}>|\{[^{}]{1,200}\}"),
        ("bracket", "text", r"(?<!^)\[[^\[\]]{1,200}\]"),
        ("digit", "date", rf"\b\d{{4}}-\d{{1,2}}-\d{{1,2}}{_CLOCK}"),
        ("digit", "date", r"\b\d{1,2}([/.\-])\d{1,2}\1(?:\d{4}|\d{2})\b"),
        ("digit", "date", r"\b\d{4}([/.])\d{1,2}\1\d{1,2}\b"),
        ("month", "date", rf"\b\d{{1,2}}{_ORDINAL}(?: (?:de|of|di))? {_ANY_MONTH}\b\.?{_YEAR}"),
        ("month", "date", rf"\b{_ANY_MONTH}\.? \d{{1,2}}{_ORDINAL}(?!\d)(?:,? \d{{4}}\b)?"),
        ("month", "date", rf"\b{_ANY_MONTH}\.?(?: de)?[ /\-]\d{{4}}\b"),
        ("month", "date", rf"\b(?:{_words(MONTHS)}|{_words(WEEKDAYS)})\b"),
        ("digit", "time", r"\b\d{1,2}[:.]\d{2}(?::\d{2})? ?(?:[ap]\.?m\b\.?|uhr\b)"),
        ("digit", "time", r"\b\d{1,2}(?::\d{2}){1,2}\b|\b\d{1,2} ?(?:[ap]m|uhr)\b|\b\d{1,2}h\d{2}\b"),
        ("money", "amount", rf"{_CURRENCY} ?-?{_DECIMAL}|(?<![\w.])-?{_DECIMAL} ?{_CURRENCY}"),
        ("digit", "number", r"(?<!\w)\d+(?:st|nd|rd|th)\b"),
        ("digit", "id", rf"(?<!\w){_HAS_DIGIT}{_HAS_LETTER}\w+(?:[\-/_.]\w+){{0,8}}"),
        ("digit", "number", r"(?<!\w)\d+(?:[.,'’/\-\u00a0\u202f]\d+){0,12}"),
    )
)  # fmt: skip
# Scripts without blanks between words (Thai to Khmer, Kana, Han; Hangul with its endings): a number
# among them is not one word with them. What stands at the seam meanwhile is no letter.
_UNSPACED = (
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff"
)
_SEAMS = re.compile(
    rf"(?<=[{_UNSPACED}])(?=[^\W{_UNSPACED}])|(?<=[^\W{_UNSPACED}])(?=[{_UNSPACED}])"
)
_SEAM = chr(0xF000)
_LEADING = re.compile(r"\[([^\[\]]{1,100})\]")
_GREETED = re.compile(
    rf"(?<!\w)((?i:{_words(GREETINGS)}),? )({_NAME})(?=\s*(?:[,!.:;?\-–—]|{_ANY_MARK}|$))"
)
_FIRST = re.compile(rf"^{_CAP}(?: {_CAP}){{0,2}}(?=, \S)")
_LAST = re.compile(rf"(?<=, ){_CAP}(?: {_CAP}){{0,2}}(?=[!.?…]{{0,3}}$)")
_AT_COMMA = re.compile(rf"{_MARK['name']}, |, {_MARK['name']}")  # where the name is, is known
_MARKS = re.compile(rf"{_ANY_MARK}(?:[\s,/\-–#]*{_ANY_MARK})*")
_WORD = re.compile(r"[\w'’\-]{1,40}")
_DIGIT = re.compile(r"\d")
_QUOTES = re.compile("[\"“„«»‘'‹`]")
_BRACKETS = re.compile(r"[(\[<{]")
_SIGNS = re.compile("[$€£¥₹₽₺₴₩]")
_SPLIT = re.compile(r"[^\w\-]+")
_DATE_WORDS = frozenset((*MONTHS, *AMBIGUOUS_MONTHS, *WEEKDAYS))
_MONEY_WORDS = frozenset((*CURRENCIES, "fr"))
_GREETING_WORDS = frozenset(words.split()[0] for words in GREETINGS)


@dataclass(frozen=True, slots=True)
class SubjectPattern:
    """A pattern to show (``Ticket {number} solved``) and the key that equal ones share."""

    text: str
    key: str


def plain_subject(subject: str) -> str:
    """A subject on one line, without blanks too many, in composed form (NFC)."""
    subject = subject[: _MAX_SUBJECT * 2]
    if not subject.isascii():
        subject = _PRIVATE.sub("", unicodedata.normalize("NFC", subject))
    return " ".join(subject.split())[:_MAX_SUBJECT]


def pattern_of(subject: str, personal: Iterable[str] = ()) -> SubjectPattern:
    """The pattern of a subject.

    Args:
        subject: decoded.
        personal: what is known to be the recipient's own: the display name in To, merge fields.
    """
    text = plain_subject(subject)
    if ":" in text:
        text = _REPLY.sub("", text, count=1)
    there = _guards(text)
    text = _leading_bracket(text, there)
    names = _personal_words(personal)
    if names:
        text = _WORD.sub(lambda word: _marked(word.group(), names), text)
    is_known = _AT_COMMA.search(text) is not None
    if "greeting" in there:
        text = _GREETED.sub(_greeted, text)
    if ", " in text and not is_known:
        text = _name_at_an_end(text)
    text = _replaced(text, there)
    return SubjectPattern(text.translate(_SHOWN), _key(text))


def _greeted(found: re.Match[str]) -> str:
    """A name behind a greeting, and behind what belongs to that (``Thanks Again Anna``)."""
    words = found[2].split(" ")
    while words and words[0].casefold() in LABELS:
        del words[0]
    name = " ".join(words)
    if not name or not _may_be_name(name):
        return found[0]
    return found[0].removesuffix(name) + _MARK["name"]


def _may_be_name(words: str) -> bool:
    """Not ``For Your Order``, nor ``Order Shipped``: many write all words with capitals."""
    several = words.casefold().split()
    if not LABELS.isdisjoint(several):
        return False
    return len(several) == 1 or FUNCTION_WORDS.isdisjoint(several)


def _name_at_an_end(text: str) -> str:
    """A name before the first comma, or after the last one.

    Both where either may be one: mails that count together do less harm than a campaign for each
    recipient.
    """
    for end in (_LAST, _FIRST):
        found = end.search(text)
        if found and _may_be_name(found[0]):
            text = f"{text[: found.start()]}{_MARK['name']}{text[found.end() :]}"
    return text


def _guards(text: str) -> frozenset[str]:
    """What there is in a subject, found quickly: most need few of the steps."""
    lower = text.lower()
    words = set(_SPLIT.split(lower))
    digit = _DIGIT.search(text) is not None
    found = {
        "at": "@" in text,
        "link": "http" in lower or "www." in lower,
        "quote": _QUOTES.search(text) is not None,
        "bracket": _BRACKETS.search(text) is not None,
        "digit": digit,
        "month": not words.isdisjoint(_DATE_WORDS),
        "money": digit and (_SIGNS.search(text) is not None or not words.isdisjoint(_MONEY_WORDS)),
        "greeting": not words.isdisjoint(_GREETING_WORDS),
    }
    return frozenset(name for name, there in found.items() if there)


def _replaced(text: str, there: frozenset[str]) -> str:
    if not text.isascii():
        text = _SEAMS.sub(_SEAM, text)
    for guard, pattern, mark in _STEPS:
        if guard in there:
            text = pattern.sub(mark, text)
    return text.replace(_SEAM, "")


def _leading_bracket(text: str, there: frozenset[str]) -> str:
    """The inside of a first bracket, made a pattern by itself: it is seldom what varies."""
    match = _LEADING.match(text)
    if match is None:
        return text
    return f"[{_replaced(match[1], there)}]{text[match.end() :]}"


def _personal_words(personal: Iterable[str]) -> frozenset[str]:
    found = [
        word.casefold()
        for value in personal
        for word in _WORD.findall(plain_subject(value))
        if not word.isdigit() and (len(word) > 1 or not word.isascii())
    ]
    return frozenset(found[:_MAX_PERSONAL])


def _marked(word: str, names: frozenset[str]) -> str:
    return _MARK["name"] if word.casefold() in names else word


def _key(text: str) -> str:
    return _MARKS.sub(PLACEHOLDER, text.replace(PLACEHOLDER, "")).casefold()
