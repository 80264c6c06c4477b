"""A store with a past: millions of events, as many messages, recipients and counters as belong.

Written straight into SQLite's tables, without the service and without a sync: what the store
itself would take hours for. Guarantees: the same tables with the same indexes as a store that
lived through it; counters, events, deliveries and recipients agree, as `tests.store.sums` checks
it. Every run makes the same. Does not make contents: the mail has been delivered.
"""

from __future__ import annotations

import random
import sqlite3
from array import array
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Table

from smtpplus.store import schema
from smtpplus.store.facts import DAY, HOUR, ONCE, Sums, day_of, hour_of, sums_of
from smtpplus.store.rows import attempt_facts, json_text
from smtpplus.values.ids import IdSource
from smtpplus.values.message import EventType
from smtpplus.values.outcome import Attempt, Outcome, Result, Stage
from smtpplus.values.reply import Reply
from smtpplus.values.status_codes import EnhancedCode

__all__ = ["DAYS", "MailUser", "make_past"]

DAYS = 90
_WAITING = 3_000  # of the newest messages
_PROVIDERS = (
    ("google", "gmail.com", "gmail-smtp-in.l.google.com", 40),
    ("outlook", "outlook.com", "outlook-com.olc.protection.outlook.com", 22),
    ("yahoo", "yahoo.com", "mta5.am0.yahoodns.net", 9),
    ("apple", "icloud.com", "mx01.mail.icloud.com", 7),
    ("libero", "libero.it", "smtp-in.libero.it", 6),
    ("gmx", "gmx.de", "mx00.gmx.net", 4),
    ("other", "company.example", "mx.company.example", 12),
)
_CAMPAIGNS = 5  # of each list and word
_TARGETS = 30  # links of each campaign
_WORDS = ("order", "invoice", "parcel", "receipt", "ticket", "password", "booking", "welcome")
_TABLES = ("message", "delivery", "attempt", "event")


@dataclass(frozen=True, slots=True)
class MailUser:
    """An SMTP user whose mails are made up."""

    account_id: int
    list_id: int
    user_id: int


class _Rows:
    """Rows of one table, written many at a time; `template` is what most of them hold."""

    def __init__(self, database: sqlite3.Connection, table: Table, **template: Any) -> None:
        names = [column.name for column in table.columns]
        quoted = ", ".join(f'"{name}"' for name in names)
        marks = ", ".join("?" * len(names))
        self._sql = f'INSERT INTO "{table.name}" ({quoted}) VALUES ({marks})'
        self._database = database
        self._at = {name: place for place, name in enumerate(names)}
        self._template = [template.get(name) for name in names]
        self._rows: list[list[Any]] = []

    def add(self, **values: Any) -> None:
        """One row."""
        row = self._template.copy()
        for name, value in values.items():
            row[self._at[name]] = value
        self._rows.append(row)
        if len(self._rows) >= 20_000:
            self.write()

    def add_all(self, *values: Any) -> None:
        """One row of all its columns."""
        self._rows.append(list(values))

    def write(self) -> None:
        """Those that were added."""
        self._database.executemany(self._sql, self._rows)
        self._rows.clear()


class _People:
    """The recipients, and what is counted at each."""

    def __init__(self, dice: random.Random, users: Sequence[MailUser], count: int) -> None:
        weights = [one[3] for one in _PROVIDERS]
        self.provider = array("b", dice.choices(range(len(_PROVIDERS)), weights, k=count))
        accounts = sorted({user.account_id for user in users})
        self.account = array("q", (accounts[n % len(accounts)] for n in range(count)))
        self.of_account = {
            account: [n for n in range(count) if self.account[n] == account] for account in accounts
        }
        self.first = array("d", bytes(8 * count))
        self.last = array("d", bytes(8 * count))
        self.counts = {
            name: array("l", bytes(array("l").itemsize * count))
            for name in ("mails", "delivered", "bounced", "opens", "clicks")
        }

    def address(self, number: int) -> str:
        """A mail address."""
        return f"person{number:07}@{_PROVIDERS[self.provider[number]][1]}"

    def mailed(self, number: int, at: float) -> None:
        """One more mail."""
        self.first[number] = self.first[number] or at
        self.last[number] = at
        self.counts["mails"][number] += 1


class _Counts:
    """Counters of one day after the other."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._rows = [_Rows(database, table) for table in schema.COUNTERS]
        self._counts: Sums = defaultdict(int)
        self._ever: Sums = defaultdict(int)

    def add(self, user: MailUser, at: float, campaign: str, provider: str, metric: str) -> None:
        """One more."""
        ids = (user.account_id, hour_of(at), user.list_id, user.user_id)
        self._counts[*ids, campaign, provider, metric] += 1

    def write(self) -> None:
        """What was counted on a day that is over."""
        *of_day, ever = sums_of(self._counts)
        for rows, counts in zip(self._rows, of_day, strict=False):
            for key, n in counts.items():
                rows.add_all(*key, 0, n)
        for key, n in ever.items():
            self._ever[key] += n
        self._counts.clear()

    def end(self) -> None:
        """All of it is counted."""
        self.write()
        for key, n in self._ever.items():
            self._rows[-1].add_all(*key, 0, n)
        for rows in self._rows:
            rows.write()


class _Past:
    """Makes one message after the other."""

    def __init__(
        self, database: sqlite3.Connection, users: Sequence[MailUser], events: int, now: float
    ) -> None:
        self.dice = random.Random(events)
        self.users = users
        self.now = now
        self.ids = IdSource(1)
        self.events = 0
        self.wanted = events
        self.people = _People(self.dice, users, max(events // 25, 100))
        self.counts = _Counts(database)
        self.links: defaultdict[tuple[int, str, str], list[int]] = defaultdict(lambda: [0, 0])
        self.campaigns: dict[tuple[int, str], list[float]] = {}
        self.facts = [_facts(host) for _, _, host, _ in _PROVIDERS]
        self.rows = {
            "message": _Rows(database, schema.message, **_MESSAGE),
            "delivery": _Rows(database, schema.delivery, **_DELIVERY),
            "attempt": _Rows(database, schema.attempt),
            "event": _Rows(database, schema.event, n=1, detail=""),
        }
        self._day_end = 0.0

    def make(self) -> None:
        """All messages in their order, and counters day by day."""
        begin = day_of(self.now) - DAYS * DAY
        step = (self.now - begin - HOUR) / (self.wanted / _EVENTS_OF_A_MESSAGE)
        at = float(begin)
        while at < self.now - HOUR:
            if at > self._day_end:
                self._day_end = day_of(at) + DAY - 1.0
                self.counts.write()
            if at > self._day_end:  # in the day's last second
                at += 1.0
                continue
            self._message(at, is_waiting=at > self.now - HOUR - _WAITING * step)
            at += step * self.dice.expovariate(1.0)

    def _message(self, at: float, *, is_waiting: bool) -> None:
        dice = self.dice
        user = dice.choice(self.users)
        mailed = self.people.of_account[user.account_id]
        # Some are mailed often, most seldom.
        person = mailed[int(len(mailed) * dice.random() ** 2)]
        word = dice.choice(_WORDS)
        kind = int(_CAMPAIGNS * dice.random() ** 2)
        campaign = f"dynamic-subject:{word} {kind}"
        self.campaigns.setdefault((user.list_id, campaign), [at, at])[1] = at
        message_id, delivery_id = self.ids.next(at), self.ids.next(at)
        address = self.people.address(person)
        number = dice.randrange(1_000_000)
        state, settled = self._ended(at, is_waiting=is_waiting)
        self.rows["message"].add(
            id=message_id, account_id=user.account_id, list_id=user.list_id, user_id=user.user_id,
            remaining=int(is_waiting), received_at=at, expires_at=at + 5 * DAY,
            subject=f"Your {word} {number} of today", campaign=campaign,
            search=f"your {word} {number} of today\nshop@example.com\nshop@example.com\n{address}",
            header_message_id=f"<{message_id:x}@example.com>",
        )  # fmt: skip
        provider, _, host, _ = _PROVIDERS[self.people.provider[person]]
        self.rows["delivery"].add(
            id=delivery_id, message_id=message_id, account_id=user.account_id, state=state,
            due_at=at if settled else self.now + DAY, domain=address.partition("@")[2],
            attempts=int(not is_waiting), address=address, address_key=address,
            settled_at=settled, last_outcome=_OUTCOME if settled else None,
            provider=provider if settled else None,
        )  # fmt: skip
        about = (user, campaign, message_id, delivery_id)
        self.people.mailed(person, at)
        self.counts.add(user, at, campaign, "", "messages")
        self._event(about, at, "accepted", delivery_id=None, provider="")
        if settled is None:
            return
        self.rows["attempt"].add(
            id=self.ids.next(at), delivery_id=delivery_id, message_id=message_id,
            started_at=settled, result=state, host=host,
            facts=self.facts[self.people.provider[person]],
        )  # fmt: skip
        self.people.counts[state][person] += 1
        self._event(about, settled, state, provider=provider)
        if state == "delivered":
            self._answers(about, settled, person, provider)

    def _ended(self, at: float, *, is_waiting: bool) -> tuple[str, float | None]:
        if is_waiting:
            return "queued", None
        return ("delivered" if self.dice.random() < 0.97 else "bounced"), at + 1

    def _answers(self, about: _About, at: float, person: int, provider: str) -> None:
        dice, (user, campaign, _, _) = self.dice, about
        opens = dice.choice((0, 0, 1, 1, 2, 3))
        is_read = False
        for n in range(opens):
            by = dice.choice(("person", "person", "privacy_proxy", "scanner"))
            self._answer(about, at + 60 * (n + 1), "opened", by, provider, f'{{"by":"{by}"}}')
            if by == "person":
                self.people.counts["opens"][person] += 1
                if not is_read:
                    self._count_once(about, at + 60 * (n + 1), EventType.OPENED, provider)
                is_read = True
        if opens and dice.random() < 0.25:
            target = f"https://shop.example/{campaign.partition(':')[2]}/{dice.randrange(_TARGETS)}"
            self.links[user.list_id, campaign, target][0] += 1
            detail = f'{{"by":"person","target":"{target}","link":1}}'
            self._answer(about, at + 400, "clicked", "person", provider, detail)
            self._count_once(about, at + 400, EventType.CLICKED, provider)
            self.people.counts["clicks"][person] += 1

    def _count_once(self, about: _About, at: float, kind: EventType, provider: str) -> None:
        """A delivery is counted as opened, or clicked in, once."""
        user, campaign, _, _ = about
        self.counts.add(user, min(at, self._day_end), campaign, provider, ONCE[kind])

    def _answer(
        self, about: _About, at: float, kind: str, by: str, provider: str, detail: str
    ) -> None:
        metric = kind if by == "person" else f"{kind} {by}"
        self._event(about, at, kind, provider=provider, metric=metric, detail=detail)

    def _event(
        self,
        about: _About,
        at: float,
        kind: str,
        *,
        provider: str,
        delivery_id: int | None = 0,
        metric: str = "",
        detail: str = "",
    ) -> None:
        user, campaign, message_id, own = about
        at = min(at, self._day_end)  # so that each day's counters are written once
        self.events += 1
        self.rows["event"].add(
            id=self.ids.next(at), type=kind, at=at, account_id=user.account_id,
            list_id=user.list_id, user_id=user.user_id, message_id=message_id,
            delivery_id=own if delivery_id == 0 else delivery_id,
            detail=detail or (_BOUNCED if kind == "bounced" else ""),
        )  # fmt: skip
        self.counts.add(user, at, campaign, provider, metric or kind)


_About = tuple[MailUser, str, int, int]
_EVENTS_OF_A_MESSAGE = 3.4
_MESSAGE: dict[str, Any] = {
    "recipients": 1, "in_file": 0, "sender": "shop@example.com", "sender_key": "shop@example.com",
    "body": "8BITMIME", "smtputf8": 0, "declared_bytes": 0, "header_from": "shop@example.com",
    "from_domain": "example.com", "octets": 18_000, "head_octets": 900, "cuts": "",
    "eight_bit": 0, "long_lines": 0, "utf8_head": 0, "client_ip": "192.0.2.7", "hello": "shop",
    "tls": "TLSv1.3 TLS_AES_256_GCM_SHA384", "mechanism": "PLAIN", "priority": 3, "crc32": 0,
    "prepend": b"Received: from shop.example (shop.example [192.0.2.7]) by relay.example\r\n" * 2,
}  # fmt: skip
_DELIVERY: dict[str, Any] = {"delay_reported": 0, "priority": 3}
_SAID = Reply(250, EnhancedCode(2, 0, 0), ("OK 1780000000 a8-20020a170902b58800b001d7 - gsmtp",))
_WELL = Outcome(Result.DELIVERED, Stage.BODY, EnhancedCode(2, 0, 0), "Delivered.", _SAID)
_OUTCOME = json_text(_WELL)
_BOUNCED = '{"stage":"rcpt","status":"5.1.1","text":"550 5.1.1 No such user here"}'


def _facts(host: str) -> bytes:
    tried = Attempt(
        1_780_000_000.0, 412, host, "192.0.2.25", 25, "192.0.2.1", "relay.example",
        signed_by=("d=example.com s=sp1",), sent_bytes=18_900,
        transcript="".join(f"S: 250 line {n} of a transcript\nC: MAIL FROM\n" for n in range(12)),
    )  # fmt: skip
    return attempt_facts(tried, _WELL)


def make_past(path: Path, users: Sequence[MailUser], events: int, now: float) -> int:
    """Fill the store in `path`, whose tables are made and empty of mail; how many events."""
    database = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -300000"):
        database.execute(f"PRAGMA {pragma}")
    indexes = list(_take_indexes(database))
    database.execute("BEGIN")
    past = _Past(database, users, events, now)
    past.make()
    for rows in past.rows.values():
        rows.write()
    past.counts.end()
    _write_recipients(database, past)
    _write_campaigns(database, past)
    database.execute("COMMIT")
    for sql in indexes:
        database.execute(sql)
    database.execute("PRAGMA journal_mode = WAL")
    database.close()
    return past.events


def _take_indexes(database: sqlite3.Connection) -> Iterator[str]:
    """An index is made more quickly when all rows are there."""
    found = "SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'index' AND sql NOT NULL"
    for name, table, sql in database.execute(found).fetchall():
        if table in _TABLES:
            database.execute(f'DROP INDEX "{name}"')
            yield sql


def _write_recipients(database: sqlite3.Connection, past: _Past) -> None:
    people = past.people
    recipients = _Rows(database, schema.recipient, fields="", soft=0, soft_full=0)
    suppressions = _Rows(
        database, schema.suppression, reason="hard bounce", detail=_BOUNCED, set_by="", lifted_by=""
    )
    for number in range(len(people.account)):
        address = people.address(number)
        counts = {name: counted[number] for name, counted in people.counts.items()}
        if not counts["mails"]:
            continue
        first, last = people.first[number], people.last[number]
        recipients.add(
            id=past.ids.next(first), account_id=people.account[number], address_key=address,
            search=f"{address}\nperson {number}", address=address, name=f"Person {number}", first_mail_at=first, last_mail_at=last,
            last_delivery_at=last if counts["delivered"] else None, **counts,
        )  # fmt: skip
        if counts["bounced"]:
            suppressions.add(
                id=past.ids.next(last), account_id=people.account[number], address_key=address,
                address=address, since=last,
            )  # fmt: skip
    recipients.write()
    suppressions.write()


def _write_campaigns(database: sqlite3.Connection, past: _Past) -> None:
    accounts = {user.list_id: user.account_id for user in past.users}
    rows = _Rows(database, schema.campaign)
    for (list_id, key), (first, last) in past.campaigns.items():
        rows.add(
            list_id=list_id, key=key, account_id=accounts[list_id], name=key.partition(":")[2],
            first_at=first, last_at=last,
        )  # fmt: skip
    rows.write()
    links = _Rows(database, schema.link, node=0)
    for (list_id, key, target), (persons, others) in past.links.items():
        links.add(list_id=list_id, campaign=key, target=target, persons=persons, others=others)
    links.write()
