"""The overview: what went in, what came of it, over time and per SMTP user.

Guarantees: chart, figures and table come from the same counters. Numbers count recipients (one
message to three recipients counts three); a deferral is counted each time it happens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from smtpplus.ports import IHistory
from smtpplus.values.message import DeliveryState, EventType
from smtpplus.values.submission import Role, SmtpUser
from smtpplus.web.charts import Chart, Frame, Series, draw
from smtpplus.web.context import Visit
from smtpplus.web.exchange import Response
from smtpplus.web.shell import Shell
from smtpplus.web.spans import SPANS, span_of, times

__all__ = ["RANGES", "OverviewPage", "UserLine"]

_MOST_USERS = 12
_LATE_SECONDS = 0.5


RANGES = SPANS[:3]


@dataclass(frozen=True, slots=True)
class UserLine:
    """An SMTP user's row."""

    username: str
    user_id: int | None
    list_name: str
    account_name: str
    accepted: int
    delivered: int
    deferred: int
    bounced: int
    last_at: float | None

    @property
    def ended(self) -> int:
        """Deliveries that came to an end."""
        return self.delivered + self.bounced


class OverviewPage:
    """The first page."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    async def show(self, visit: Visit) -> Response:
        """The page, for the range asked for."""
        history, scope = self._shell.ports.history, visit.scope
        span = span_of(visit.asked.query.get("range", ""), "24h", RANGES)
        since, until = span.bounds(visit.now)
        counters = await history.counters(scope, since, until, span.step)
        accepted, columns = _series(counters, span.slots)
        titles, labels = times(span, since)
        queue = await history.queue_size(scope)
        users = await self._shell.ports.accounts.users(scope)
        values = {
            "span": span,
            "ranges": RANGES,
            "charts": _charts(columns, accepted, titles, labels),
            "accepted": accepted,
            "columns": columns,
            "titles": titles,
            "ended": sum(series.total for series in columns if series.key != "deferred"),
            "waiting": queue.get(DeliveryState.QUEUED, 0),
            "held": queue.get(DeliveryState.HELD, 0),
            "users": await _user_lines(history, scope, since, until, users),
            "delay": _delay(visit, self._shell.ports.worst_delay()),
            "first_steps": await self._first_steps(visit, users),
        }
        return self._shell.show(visit, "overview", values)

    async def _first_steps(
        self, visit: Visit, users: Sequence[SmtpUser]
    ) -> dict[str, str | int] | None:
        """What one types to send a first message; None where it is known already."""
        settings = self._shell.settings
        if not settings.trial or not users:
            return None
        if await self._shell.ports.history.messages(visit.scope, "", None, None, None, 1):
            return None
        user = users[0]
        domains = await self._shell.ports.accounts.sender_domains(user.account_id)
        verified = [domain.domain for domain in domains if domain.verified_at is not None]
        return {
            "host": settings.submission_host,
            "port": settings.submission_port,
            "username": user.username,
            "sender": f"hello@{verified[0] if verified else 'example.com'}",
        }


def _delay(visit: Visit, seconds: float) -> float:
    """What an operator should know: the service was late by so much; 0 where it was not."""
    is_operator = visit.who.role is Role.OPERATOR
    return seconds if is_operator and seconds >= _LATE_SECONDS else 0.0


def _series(counters: dict[str, list[int]], slots: int) -> tuple[Series, tuple[Series, ...]]:
    def values(*metrics: EventType) -> tuple[int, ...]:
        lists = [counters.get(metric.value) or [0] * slots for metric in metrics]
        return tuple(map(sum, zip(*lists, strict=True)))

    return Series("accepted", "Accepted", values(EventType.ACCEPTED)), (
        Series("delivered", "Delivered", values(EventType.DELIVERED)),
        Series("deferred", "Deferred", values(EventType.DEFERRED)),
        Series("bounced", "Bounced", values(EventType.BOUNCED, EventType.EXPIRED)),
    )


def _charts(
    columns: Sequence[Series], line: Series, titles: Sequence[str], labels: Sequence[str]
) -> tuple[tuple[str, Chart], ...]:
    """One for wide screens, one for phones, where the first's letters would be too small."""
    return (
        ("wide", draw(columns, line, titles, labels, Frame(960, 280))),
        ("narrow", draw(columns, line, titles, labels, Frame(340, 230, left=34, most_ticks=4))),
    )


async def _user_lines(
    history: IHistory,
    scope: int | None,
    since: float,
    until: float,
    users: Sequence[SmtpUser],
) -> list[UserLine]:
    known = {user.username: user for user in users}
    totals = (await history.totals(scope, since, until, "user"))[:_MOST_USERS]
    last_times = await history.last_times([known[name].id for name, _ in totals if name in known])
    lines = []
    for username, sums in totals:
        user = known.get(username)
        lines.append(
            UserLine(
                username=username,
                user_id=user.id if user else None,
                list_name=user.list_name if user else "",
                account_name=user.account_name if user else "",
                accepted=sums.get(EventType.ACCEPTED, 0),
                delivered=sums.get(EventType.DELIVERED, 0),
                deferred=sums.get(EventType.DEFERRED, 0),
                bounced=sums.get(EventType.BOUNCED, 0) + sums.get(EventType.EXPIRED, 0),
                last_at=last_times.get(user.id) if user else None,
            )
        )
    return lines
