"""Links that are followed through us: which, their numbers, their targets, campaign parameters.

A link is tracked where it is ``http`` or ``https`` in the href of ``a`` or ``area``, or in plain
text. Not: other schemes and anchors, links to hosts of ours, unsubscribe links (by target, by
words, by the sender's List-Unsubscribe), and links that the sender marked in any way of the
services that people come from (``data-notrack`` is ours). A target with merge tags is made for
each recipient before it is signed. Numbers count from 1 in the order of the parts.

Guarantees: entities in a target are decoded as browsers do in attributes (``&copy=1`` stays);
what `LinkTarget` does not take stays. Linear time; never raises. After `MAX_LINKS`
links the others stay as they are.
"""

from __future__ import annotations

import functools
import html
import re
from collections.abc import Sequence
from html.entities import html5
from urllib.parse import quote_plus

from smtpplus.message.copy_plan import ClickUrl, CopyFields, CopyPlan
from smtpplus.message.edits import ClickFill, Fill
from smtpplus.message.html_spans import attributes_of
from smtpplus.message.tracking_urls import LinkTarget, host_of
from smtpplus.message.unsubscribe_tags import is_unsubscribe_target
from smtpplus.values.address import to_ascii
from smtpplus.values.options import Utm

__all__ = ["MAX_LINKS", "TEXT_LINK", "Links", "attribute_text", "text_link_end", "with_utm"]

MAX_LINKS = 5_000
_MAX_KEPT = 500  # characters of a URL that is kept from message to message

# ASCII alone: of a text that is seen as octets, others are not characters.
TEXT_LINK = re.compile(r"(?<![A-Za-z0-9])https?://[!#-;=?-~]++", re.IGNORECASE)
_REFERENCE = re.compile(
    r"&(?:#(?:[0-9]{1,9}|[xX][0-9A-Fa-f]{1,8});?|([A-Za-z][A-Za-z0-9]{0,40})(;?))"
)
_PUNCTUATION = ".,;:!?'*|`"
_MARKS = "_~"  # a token may end in them: base64url
_CLOSERS = {")": "(", "]": "[", "}": "{"}

# Marks of ours, Postmark, SES, Mandrill, Mailgun, SendGrid, SparkPost: attribute and the values
# that say no ("" means: any).
_UNTRACKED = {
    "data-notrack": frozenset({""}),
    "data-no-track": frozenset({""}),
    "data-pm-no-track": frozenset({""}),
    "ses:no-track": frozenset({""}),
    "mc:disable-tracking": frozenset({""}),
    "disable-tracking": frozenset({"true", "yes", "1"}),
    "clicktracking": frozenset({"off"}),
    "data-msys-clicktrack": frozenset({"0"}),
    "data-msys-unsubscribe": frozenset({"1"}),
}


_NOTHING = frozenset[str]()


class Links:
    """The links of one message, as they are found.

    `wanted` tells whether anything is done to links; `targets` are those of the tracked ones.
    `click_url` is what they are replaced by in the part that is looked at.

    Args:
        plan: what is tracked.
        unsubscribe: targets of the sender's own List-Unsubscribe field.
    """

    def __init__(self, plan: CopyPlan, unsubscribe: frozenset[str] = frozenset()) -> None:
        self.plan = plan
        self.unsubscribe = unsubscribe
        self.targets: list[str] = []
        self._utm = plan.utm if plan.utm and _parameters(plan.utm) else None
        self.click_url = plan.click_url

    @property
    def wanted(self) -> bool:
        """Is anything done to links?"""
        return self.click_url is not None or self._utm is not None

    @property
    def is_full(self) -> bool:
        """Are there as many tracked links as there may be?"""
        return len(self.targets) >= MAX_LINKS

    @staticmethod
    def is_marked(tag: str) -> bool:
        """Did the sender say in this tag that its link is not to be tracked?"""
        lower = tag.lower()
        if "track" not in lower and "data-msys-" not in lower:
            return False
        for name, value in attributes_of(tag[2:]).items():
            values = _UNTRACKED.get(name, _NOTHING)
            if "" in values or value.strip().lower() in values:
                return True
        return False

    def replacement(self, pieces: Sequence[str | Fill]) -> str | Fill | None:
        """What stands instead of a URL, as text not yet escaped; None: it stays.

        Args:
            pieces: the URL, decoded, with merge values to be filled in.
        """
        if all(isinstance(piece, str) for piece in pieces):
            return self.replaced("".join(map(str, pieces)))
        click_url = self.click_url
        first = pieces[0]
        if isinstance(first, str) and self.target(first + "x") is None:
            return None
        shown = "".join(piece if isinstance(piece, str) else "…" for piece in pieces)
        number = self._number(shown) if click_url is not None else 0
        if click_url is not None and not number:
            return None
        return self._merged(tuple(pieces), click_url, number)

    def replaced(self, url: str, *, in_html: bool = False) -> str | Fill | None:
        """The same of a URL without merge values; a fill is escaped already where `in_html`."""
        target = self.target(url)
        if target is None:
            return None
        click_url = self.click_url
        made = target if self._utm is None else self._with_utm(target, self._utm)
        if click_url is None:
            return made.url if made is not target else None
        number = self._number(made.url)
        return ClickFill(click_url, number, made, in_html=in_html) if number else None

    def target(self, url: str) -> LinkTarget | None:
        """The target that `url` is, cleaned; None where it is not to be changed."""
        target = (_target_again if len(url) <= _MAX_KEPT else _target)(url)
        if target is None or target.host in self.plan.own_hosts or target.url in self.unsubscribe:
            return None
        return target

    def _with_utm(self, target: LinkTarget, utm: Utm) -> LinkTarget:
        """The target with its parameters; as it is where there is nothing to add."""
        made = with_utm(target.url, utm)
        return target if made == target.url else LinkTarget.of(made) or target

    def _number(self, target: str) -> int:
        targets = self.targets
        if len(targets) >= MAX_LINKS:
            return 0
        targets.append(target)
        return len(targets)

    def _merged(
        self,
        pieces: tuple[str | Fill, ...],
        click_url: ClickUrl | None,
        number: int,
    ) -> Fill:
        utm = self._utm

        def fill(fields: CopyFields) -> str:
            made = "".join([p if isinstance(p, str) else p(fields) for p in pieces])
            target = self.target(made)
            if target is None:
                return made
            if utm is not None:
                target = self._with_utm(target, utm)
            return target.url if click_url is None else click_url(fields, number, target)

        return fill


def _target(url: str) -> LinkTarget | None:
    target = LinkTarget.of(url)
    return None if target is None or is_unsubscribe_target(target.url) else target


# Most links of a template are in all of its mails.
_target_again = functools.lru_cache(maxsize=1_024)(_target)


def attribute_text(raw: str) -> str:
    """An attribute's value with its character references decoded (HTML standard §13.2.5.73)."""
    if "&" not in raw:
        return raw
    if raw.count("&") == raw.count("&amp;"):
        return raw.replace("&amp;", "&")

    def decoded(found: re.Match[str]) -> str:
        name = found[1]
        if name is None:
            return html.unescape(found.group())
        if found[2]:
            return html5.get(f"{name};", found.group())
        # Without its semicolon it counts only where nothing of a parameter's name follows.
        if raw[found.end() : found.end() + 1] == "=":
            return found.group()
        return html5.get(name, found.group())

    return _REFERENCE.sub(decoded, raw)


def text_link_end(text: str, start: int, end: int) -> int:
    """Where a URL in plain text ends: punctuation behind it is not its own.

    ``_`` and ``~`` are not where one stands before it, too.
    """
    before = text[start - 1 : start]
    surplus: dict[str, int] = {}  # closing brackets without their opening ones
    while end > start:
        last = text[end - 1]
        if last in _CLOSERS:
            if last not in surplus:
                opened = text.count(_CLOSERS[last], start, end)
                surplus[last] = text.count(last, start, end) - opened
            if surplus[last] <= 0:
                break
            surplus[last] -= 1
        elif last not in _PUNCTUATION and (last not in _MARKS or last != before):
            break
        end -= 1
    return end


def with_utm(target: str, utm: Utm) -> str:
    """`target` with the parameters that it does not have yet, before its fragment."""
    host = to_ascii(host_of(target))
    if utm.domains and not any(host == d or host.endswith(f".{d}") for d in utm.domains):
        return target
    base, mark, fragment = target.partition("#")
    path, _, query = base.partition("?")
    present = {part.partition("=")[0].lower() for part in query.split("&")}
    added = "&".join(
        f"{name}={quote_plus(value, errors='replace')}"
        for name, value in _parameters(utm)
        if name not in present
    )
    if not added:
        return target
    glue = "&" if query and not query.endswith("&") else ""
    return f"{path}?{query}{glue}{added}{mark}{fragment}"


def _parameters(utm: Utm) -> list[tuple[str, str]]:
    named = {
        "utm_source": utm.source,
        "utm_medium": utm.medium,
        "utm_term": utm.term,
        "utm_content": utm.content,
        "utm_campaign": utm.campaign,
    }
    return [(name, value) for name, value in named.items() if value]
