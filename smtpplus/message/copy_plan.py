"""What is to be done to a message's copies, settled: the plan, and what one recipient adds to it.

Values only. The plan holds for all recipients of a message, `CopyFields` for one of them. URLs
come from callables, so nothing here knows tokens: they must return ASCII without blanks, quotes,
angle brackets and control characters.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from smtpplus.message.token import TokenFacts
from smtpplus.message.tracking_urls import LinkTarget
from smtpplus.values.address import Address
from smtpplus.values.options import MergeSyntax, Utm

if TYPE_CHECKING:  # it is made of edits, which are made by a plan
    from smtpplus.message.part_memory import PartMemory

__all__ = [
    "ClickUrl",
    "CopyFields",
    "CopyPlan",
    "CopyUrl",
    "HeadField",
    "LeftAlone",
    "OwnTo",
]


class OwnTo(enum.StrEnum):
    """Who gets a copy whose To is the recipient's own address.

    BCC: who stands in neither To nor Cc; Cc stays, as in every blind copy. ALL: each recipient,
    alone: Cc goes, too (SendGrid's ``to``, Mandrill's ``PreserveRecipients: false``).
    """

    OFF = "off"
    BCC = "bcc"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class CopyFields:
    """What one recipient's copy is filled with.

    `values` go before the message's own fields; address and name behind them. `delivery_id`,
    `facts` and `links` (how many different links the message has) are for the callables that make
    URLs: they are not looked at here.
    """

    address: Address
    name: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    delivery_id: int = 0
    facts: TokenFacts | None = None
    links: int = 0


CopyUrl = Callable[[CopyFields], str]
ClickUrl = Callable[[CopyFields, int, LinkTarget], str]  # the link's number counts from 1


@dataclass(frozen=True, slots=True)
class HeadField:
    """A header field that every copy carries exactly once.

    `value` is text, or made for each recipient. `keep`: where the sender set the field, the
    sender's first one stays and this one is not added.
    """

    name: str
    value: str | Callable[[CopyFields], str]
    keep: bool = False


@dataclass(frozen=True, slots=True)
class LeftAlone:
    """Why a part (its index in `Structure.parts`), or with -1 the whole body, was not changed."""

    part: int
    reason: str


@dataclass(frozen=True, slots=True)
class CopyPlan:
    """What all copies of a message have in common. As it stands it changes nothing.

    Args:
        header_html: goes to the beginning of HTML bodies; "" for none. Fragment or document.
        header_text: the same for text bodies.
        footer_html: goes to the end of what the sender wrote.
        footer_text: the same for text bodies.
        open_url: the pixel's address; None: opens are not tracked.
        open_tag: text in whose place the pixel goes.
        click_url: the address that links are replaced by; None: clicks are not tracked.
        click_html: are links in HTML bodies?
        click_text: are links in text bodies?
        honeypot: where a link leads that no person sees, at the end of HTML bodies whose links
            are tracked; None: there is none.
        own_hosts: lower-case hosts that are ours; links to them stay.
        utm: parameters added to links.
        unsubscribe_url: what unsubscribe tags become; None: they stay.
        unsubscribe_tag: a tag of the sender's own, beside the known ones.
        unsubscribe_word: what the link reads where the tag stands alone in HTML text.
        unsubscribe_html: put behind the footer where the body has no unsubscribe tag.
        unsubscribe_text: the same for text bodies.
        syntaxes: how merge tags of subject and body are written; none: there are none. The
            list's own header and footer always know ``[name]``.
        fields: values of the whole message.
        names: names of the values that recipients bring, of all recipients together.
        unescaped: names whose values are HTML already, or parts of a URL, and are put into HTML
            text and behind a URL's beginning as they are; ``*``: of all.
        own_to: who finds only the own address in To.
        head: fields that every copy carries, put at the head's end.
        head_cuts: lower-case names of fields that no copy carries.
        parts: where parts that come again are remembered; None: nowhere.
    """

    header_html: str = ""
    header_text: str = ""
    footer_html: str = ""
    footer_text: str = ""
    open_url: CopyUrl | None = None
    open_tag: str = ""
    click_url: ClickUrl | None = None
    click_html: bool = True
    click_text: bool = False
    honeypot: LinkTarget | None = None
    own_hosts: frozenset[str] = frozenset()
    utm: Utm | None = None
    unsubscribe_url: CopyUrl | None = None
    unsubscribe_tag: str = ""
    unsubscribe_word: str = "Unsubscribe"
    unsubscribe_html: str = ""
    unsubscribe_text: str = ""
    syntaxes: frozenset[MergeSyntax] = frozenset()
    fields: Mapping[str, str] = field(default_factory=dict)
    names: frozenset[str] = frozenset()
    unescaped: frozenset[str] = frozenset()
    own_to: OwnTo = OwnTo.OFF
    head: tuple[HeadField, ...] = ()
    head_cuts: frozenset[str] = frozenset()
    parts: PartMemory | None = field(default=None, compare=False, repr=False)
    # What was found out about the plan itself, kept for the next message that it holds for.
    found: dict[object, Any] = field(init=False, default_factory=dict, compare=False, repr=False)

    @property
    def changes_bodies(self) -> bool:
        """Is there anything to look for in a body?"""
        return bool(
            self.header_html
            or self.header_text
            or self.footer_html
            or self.footer_text
            or self.open_url
            or self.open_tag
            or self.click_url
            or (self.utm and self.utm != Utm())
            or self.unsubscribe_url
            or self.syntaxes
        )

    @property
    def literals(self) -> tuple[str, ...]:
        """Keys that are tags as they stand (``-tag-``).

        Where other syntaxes are looked for, too, a key needs a mark of its own: the field
        ``order`` of ``[order]`` must not be found in the middle of a sentence.
        """
        if MergeSyntax.DASHES not in self.syntaxes:
            return ()
        keys = dict.fromkeys((*self.fields, *sorted(self.names)))
        if len(self.syntaxes) == 1:
            return tuple(keys)
        return tuple(k for k in keys if k and not (k[0].isalnum() and k[-1].isalnum()))
