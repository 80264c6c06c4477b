"""What opens and clicks change: events, counters, first answers, recipients' and links' counts.

Guarantees: what is gathered here and written in one transaction keeps counters equal to events
(D16), also where a response that was recorded as a person's is corrected: event, delivery, counters
and link then say what they would had it been known, and the recipient, too, but for the time of
its last open or click, which becomes that of the last delivery's first one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec
from sqlalchemy import Column, ColumnElement, func, select, update

from smtpplus.store.commits import Transaction
from smtpplus.store.erased_words import GONE
from smtpplus.store.facts import (
    ANONYMOUS,
    ONCE,
    PERSON,
    Counted,
    Facts,
    detail_text,
    hour_of,
    metric_of,
)
from smtpplus.store.recipient_counts import Key
from smtpplus.store.rows import safe_text
from smtpplus.store.schema import delivery, event, recipient
from smtpplus.store.suppression_sql import ERASED
from smtpplus.values.message import EventType
from smtpplus.values.response import Response, ResponseKind

__all__ = ["KINDS", "Answered", "ResponseFacts", "response_detail"]

KINDS = {
    ResponseKind.OPENED: EventType.OPENED,
    ResponseKind.CLICKED: EventType.CLICKED,
    ResponseKind.UNSUBSCRIBED: EventType.UNSUBSCRIBED,
    ResponseKind.RESUBSCRIBED: EventType.RESUBSCRIBED,
}
_MOST_TARGET = 1_000
_NO_MESSAGE = 0  # what is only counted belongs to nobody


@dataclass(slots=True)
class Answered:
    """The delivery that is answered."""

    id: int
    message_id: int
    account_id: int
    list_id: int
    user_id: int
    campaign: str
    address_key: str
    address: str
    provider: str | None
    opened_at: float | None
    clicked_at: float | None

    def is_meant(self, response: Response) -> bool:
        """Does the response's token name this delivery?"""
        return (self.message_id, self.account_id) == (response.message_id, response.account_id)

    def as_kept(self, response: Response) -> Response:
        """What is kept of it; of an erased recipient's, that it was."""
        if not self.address_key.startswith(ERASED):
            return response
        target = GONE if response.target else ""
        return replace(response, target=target, link=0, client_ip="", agent="")

    def counted(self, list_id: int | None = None) -> Counted:
        """What it is counted as; in another list it belongs to no campaign."""
        of_list = self.list_id if list_id is None else list_id
        campaign = self.campaign if of_list == self.list_id else ""
        return Counted(self.message_id, self.account_id, of_list, self.user_id, campaign)

    def first(self, kind: EventType) -> float | None:
        """When a person first opened it, or clicked in it."""
        return self.opened_at if kind is EventType.OPENED else self.clicked_at

    def set_first(self, kind: EventType, at: float | None) -> None:
        """A person first did so at `at`; None: none did."""
        if kind is EventType.OPENED:
            self.opened_at = at
        else:
            self.clicked_at = at


@dataclass(slots=True)
class _Counts:
    """What persons did, at one recipient or one link."""

    opens: int = 0
    opened_at: float | None = None
    clicks: int = 0
    clicked_at: float | None = None
    others: int = 0


class ResponseFacts:
    """What one transaction is going to write of opens and clicks.

    `first` are the deliveries that got a first answer; `recipients` and `links` are what their
    counts grow by.
    """

    def __init__(self) -> None:
        self.facts = Facts()
        self.first: dict[int, Answered] = {}
        self.recipients: defaultdict[Key, _Counts] = defaultdict(_Counts)
        self.links: defaultdict[tuple[int, str, str], _Counts] = defaultdict(_Counts)

    def add(self, response: Response, about: Answered) -> None:
        """One open or click."""
        kind, by = KINDS[response.kind], safe_text(response.by)
        counted, provider = about.counted(), about.provider or ""
        if response.only_counted:
            self.facts.add(
                kind,
                float(hour_of(response.at)),
                counted,
                about=_NO_MESSAGE,
                detail=detail_text({"by": response.by}),
                provider=provider,
                by=by,
            )
            if by == PERSON and kind is EventType.OPENED:  # of which delivery is not kept
                self.facts.count(ANONYMOUS, response.at, counted, provider=provider)
            return
        self.facts.add(
            kind,
            response.at,
            counted,
            delivery_id=about.id,
            detail=response_detail(response),
            provider=provider,
            by=by,
        )
        is_person = by == PERSON
        if kind is EventType.CLICKED:
            of_link = self._link(response, about)
            of_link.clicks += is_person
            of_link.others += not is_person
        if not is_person:
            return
        if about.first(kind) is None:
            self.facts.count(ONCE[kind], response.at, counted, provider=provider)
            self.first[about.id] = about
            about.set_first(kind, response.at)
        at_recipient = self.recipients[about.account_id, about.address_key]
        if kind is EventType.OPENED:
            at_recipient.opens += 1
            at_recipient.opened_at = max(at_recipient.opened_at or 0.0, response.at)
        else:
            at_recipient.clicks += 1
            at_recipient.clicked_at = max(at_recipient.clicked_at or 0.0, response.at)

    def correct(self, transaction: Transaction, response: Response, about: Answered) -> None:
        """Take back what counts as a person's, and count it as what it was; before any `add`."""
        kind = KINDS[response.kind]
        events = (
            event.c.message_id == about.message_id,
            event.c.delivery_id == about.id,
            event.c.type == kind.value,
        )
        recorded = response_detail(replace(response, by=PERSON))
        changed = (
            update(event)
            .where(*events, event.c.at == response.at, event.c.detail == recorded)
            .values(detail=response_detail(response))
        )
        n = transaction.execute(changed).rowcount
        if not n:
            return
        counted, provider = about.counted(), about.provider or ""
        count = self.facts.count
        count(metric_of(kind), response.at, counted, n=-n, provider=provider)
        count(metric_of(kind, response.by), response.at, counted, n=n, provider=provider)
        at_recipient = self.recipients[about.account_id, about.address_key]
        if kind is EventType.OPENED:
            at_recipient.opens -= n
        else:
            at_recipient.clicks -= n
            of_link = self._link(response, about)
            of_link.clicks -= n
            of_link.others += n
        if about.first(kind) == response.at:
            next_at = _first_of_persons(transaction, events)
            count(ONCE[kind], response.at, counted, n=-1, provider=provider)
            if next_at is not None:
                count(ONCE[kind], next_at, counted, provider=provider)
            about.set_first(kind, next_at)
            mended = update(delivery).where(delivery.c.id == about.id)
            transaction.execute(mended.values({_FIRST[kind]: next_at}))
        _mend_last(transaction, kind, response.at, about)

    def _link(self, response: Response, about: Answered) -> _Counts:
        target = safe_text(response.target)[:_MOST_TARGET]
        return self.links[about.list_id, about.campaign, target]


_FIRST: dict[EventType, Column[float]] = {
    EventType.OPENED: delivery.c.opened_at,
    EventType.CLICKED: delivery.c.clicked_at,
}
_LAST: dict[EventType, Column[float]] = {
    EventType.OPENED: recipient.c.last_open_at,
    EventType.CLICKED: recipient.c.last_click_at,
}


def _first_of_persons(
    transaction: Transaction, events: Sequence[ColumnElement[bool]]
) -> float | None:
    """When the first of these events happened that are a person's."""
    found = transaction.execute(select(event.c.at, event.c.detail).where(*events)).all()
    persons = [row.at for row in found if msgspec.json.decode(row.detail).get("by") == PERSON]
    return min(persons, default=None)


def _mend_last(transaction: Transaction, kind: EventType, at: float, about: Answered) -> None:
    """A recipient's last open or click was none, where it was at `at`."""
    of_recipient = (
        recipient.c.account_id == about.account_id,
        recipient.c.address_key == about.address_key,
    )
    first, last = _FIRST[kind], _LAST[kind]
    others = select(func.max(first)).where(
        delivery.c.address_key == about.address_key, delivery.c.account_id == about.account_id
    )
    mended = update(recipient).where(*of_recipient, last == at)
    transaction.execute(mended.values({last: others.scalar_subquery()}))


def response_detail(response: Response) -> str:
    """What of a response its event keeps; empty words are left out."""
    found = {
        "by": response.by,
        "target": response.target[:_MOST_TARGET],
        "link": response.link,
        "ip": response.client_ip,
        "agent": response.agent,
        "reason": response.reason,
    }
    if response.kind in {ResponseKind.UNSUBSCRIBED, ResponseKind.RESUBSCRIBED}:
        del found["by"]
    return detail_text({key: value for key, value in found.items() if value})
