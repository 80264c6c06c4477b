"""How long pages and their queries take over a store with a past (see past.py): the 95th percentile.

Queries run in this process through the store's own ports; pages come from a service of its own
over HTTP, signed in as the operator.
"""

from __future__ import annotations

import http.client
import os
import random
import secrets
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from benchmarks.ours import Smtpplus
from benchmarks.past import DAYS, MailUser, make_past
from benchmarks.plan import Plan
from benchmarks.programs import MissingError, Programs
from benchmarks.results import Report
from smtpplus.config import load
from smtpplus.installation import Installation, open_installation
from smtpplus.store.facts import DAY, HOUR
from smtpplus.store.store import run
from smtpplus.values.ids import show_id
from smtpplus.values.message import DeliveryState
from smtpplus.values.submission import Role, ScramVerifier, Stream
from smtpplus.web.sessions import SESSION_COOKIE, hash_token, new_token

__all__ = ["pages"]

_TIMES = 60
_TIMES_OF_COMMAND = 10
_MADE = "past-is-made"
_ACCOUNT = "shop "
_ACCOUNTS, _LISTS, _USERS = 3, 2, 2  # lists of each account, users of each list
_NOBODY = ScramVerifier(b"salt", 4096, b"stored", b"server")
_OPERATOR = "pages@benchmark.example"


def pages(plan: Plan, programs: Programs, report: Report) -> None:
    """Queries, pages and commands over `plan.events` events."""
    folder = plan.past or programs.folder / "pages-data"
    is_there = (folder / _MADE).exists()
    if not is_there and folder.exists():
        raise MissingError(f"{folder} is not a past that was made to its end: remove it")
    server = Smtpplus(programs, name="pages", folder=folder)
    config = load(Path(server.config), [])
    now = time.time()
    with open_installation(config) as made:
        token = _signed_in(made, now)
        users = _users(made, now)
    if not is_there:
        _make(config.queue_dir / "smtpplus.sqlite3", users, plan.events, now, report)
        (folder / _MADE).touch()
    with open_installation(config) as past:
        known = _Known(past, users)
        for name, ask in _queries(past, known, now).items():
            _measure(report, f"query: {name}", ask, time.process_time)
    server.start()
    try:
        for name, address in _addresses(known).items():
            ask = _get(server.web, address, token)
            _measure(report, f"page: {name}", ask, server.cpu_seconds)
    finally:
        server.stop()
    for name, command in _commands(server.config, known).items():
        _measure(report, f"command: {name}", command, _children_seconds, _TIMES_OF_COMMAND)


def _make(path: Path, users: Sequence[MailUser], wanted: int, now: float, report: Report) -> None:
    begun = time.monotonic()
    events = make_past(path, users, wanted, now)
    row = report.row("pages", "making it", "smtpplus", "s", note=f"{events:,} events")
    row.samples.append(time.monotonic() - begun)


def _measure(
    report: Report,
    case: str,
    ask: Callable[[], object],
    cpu_seconds: Callable[[], float],
    times: int = _TIMES,
) -> None:
    """The median, the 95th percentile, and the processor time of one."""
    ask()
    samples, cpu = [], cpu_seconds()
    for _ in range(times):
        begun = time.perf_counter()
        ask()
        samples.append((time.perf_counter() - begun) * 1000)
    used = (cpu_seconds() - cpu) / times * 1e6
    row = report.row("pages", f"{case}, p50", "smtpplus", "ms")
    row.samples.append(statistics.median(samples))
    row.server_us.append(used)
    p95 = statistics.quantiles(samples, n=20)[-1]
    report.row("pages", f"{case}, p95", "smtpplus", "ms").samples.append(p95)


def _users(made: Installation, now: float) -> list[MailUser]:
    """Accounts with lists and users, made or found."""
    there = {one.name: one.id for one in run(made.accounts.accounts())}
    known = {there[name] for name in there if name.startswith(_ACCOUNT)}
    if known:
        found = [user for user in run(made.accounts.users(None)) if user.account_id in known]
        return [MailUser(one.account_id, one.list_id, one.id) for one in found]
    users = []
    for number in range(_ACCOUNTS):
        account = run(made.accounts.add_account(f"{_ACCOUNT}{number}", now))
        for list_number in range(_LISTS):
            name = f"list {list_number}"
            mails = run(made.accounts.add_list(account.name, name, Stream.TRANSACTIONAL, now))
            for _ in range(_USERS):
                user = run(made.accounts.add_user(mails.id, None, _NOBODY, [], [], now))
                users.append(MailUser(account.id, mails.id, user.id))
    return users


def _signed_in(made: Installation, now: float) -> str:
    """The session of an operator."""
    found = [one for one in run(made.people.people()) if one.email == _OPERATOR]
    person = (
        found[0]
        if found
        else run(made.people.add_person(_OPERATOR, Role.OPERATOR, None, None, now))
    )
    token = new_token(secrets.token_bytes)
    run(
        made.people.add_session(
            hash_token(token), person.id, new_token(secrets.token_bytes), now + DAY
        )
    )
    return token


class _Known:
    """What is asked for: things that are there, some of them old."""

    def __init__(self, past: Installation, users: Sequence[MailUser]) -> None:
        self.user = users[0]
        known = run(past.accounts.user_by_id(self.user.user_id))
        self.username = "" if known is None else known.username
        newest = run(past.history.messages(None, "", None, None, None, 50))
        begin = newest[-1].message.id
        oldest = newest[-1].message.id - int(DAYS * DAY * 1000 * 0.9 * (1 << 22))
        dice = random.Random(1)
        self.befores = [dice.randrange(oldest, begin) for _ in range(20)]
        found = [run(past.history.messages(None, "", None, None, one, 5)) for one in self.befores]
        self.messages = [row.message.id for rows in found for row in rows]
        self.addresses = [row.first_recipient for rows in found for row in rows]
        self.campaigns = run(past.campaigns.campaigns(None, "", 0, 50))


def _queries(past: Installation, known: _Known, now: float) -> dict[str, Callable[[], object]]:
    """What pages read, by name."""
    dice = random.Random(2)
    history, account = past.history, known.user.account_id
    until = now // DAY * DAY + DAY  # as pages ask: whole days
    month, quarter = until - 30 * DAY, until - DAYS * DAY

    def of(make: Callable[[], Coroutine[Any, Any, Any]]) -> Callable[[], object]:
        return lambda: run(make())

    def messages(search: str = "", **more: Any) -> Callable[[], object]:
        def make() -> Coroutine[Any, Any, Any]:
            scope = dice.choice((None, account))
            state, user = more.get("state"), more.get("user")
            before = dice.choice((None, *known.befores))
            found: Coroutine[Any, Any, Any] = history.messages(
                scope, search, user, state, before, 50
            )
            return found

        return of(make)

    def any_address() -> str:
        return dice.choice(known.addresses)

    def any_campaign() -> tuple[int, str]:
        row = dice.choice(known.campaigns)
        return row.list_id, row.key

    found = {
        "messages": messages(),
        "messages of a user": messages(user=known.user.user_id),
        "messages that bounced": messages(state=DeliveryState.BOUNCED),
        "messages by a word": messages("invoice"),
        "messages by an address": of(
            lambda: history.messages(None, any_address(), None, None, None, 50)
        ),
        "message": of(lambda: history.message(None, dice.choice(known.messages))),
        "events of a message": of(lambda: history.events(dice.choice(known.messages), 500)),
        "queue": of(lambda: history.queue(dice.choice((None, account)), "", None, 50)),
        "queue size": of(lambda: history.queue_size(dice.choice((None, account)))),
        "series of a day": of(lambda: history.counters(account, now - DAY, now + 1, HOUR)),
        "series of 30 days": of(lambda: history.counters(None, month, until, DAY)),
        "series of 90 days": of(lambda: history.counters(None, quarter, until, DAY)),
        "recipients": of(lambda: past.recipients.recipients(None, "", None, 50)),
        "recipients of an account": of(lambda: past.recipients.recipients(account, "", None, 50)),
        "recipient": of(lambda: past.recipients.recipient(None, any_address())),
        "mails of a recipient": of(lambda: past.recipients.mails(None, any_address(), None, 50)),
        "suppressions": of(lambda: past.suppressions.listed(None, "", None, 50)),
        "suppressions that stand": of(
            lambda: past.suppressions.listed(account, "", None, 50, standing_at=now)
        ),
        "campaigns": of(lambda: past.campaigns.campaigns(None, "", 0, 50)),
        "campaigns by a word": of(lambda: past.campaigns.campaigns(account, "invoice", 0, 50)),
        "campaign": of(lambda: past.campaigns.campaign(None, *any_campaign())),
        "series of a campaign": of(
            lambda: past.campaigns.series(*any_campaign(), month, until, DAY)
        ),
        "links of a campaign": of(lambda: past.campaigns.links(*any_campaign(), 50)),
    }
    for by in ("user", "list", "day", "campaign", "provider"):
        found[f"totals of 30 days by {by}"] = of(partial(_totals, past, dice, account, until, by))
    return found


def _totals(
    past: Installation, dice: random.Random, account: int, until: float, by: str
) -> Coroutine[Any, Any, Any]:
    scope = dice.choice((None, account))
    found: Coroutine[Any, Any, Any] = past.history.totals(scope, until - 30 * DAY, until, by)
    return found


def _addresses(known: _Known) -> dict[str, str]:
    """Pages by name."""
    campaign = known.campaigns[0]
    of_campaign = f"/campaign?list={campaign.list_id}&key={quote(campaign.key)}"
    address = quote(known.addresses[0])
    spans = ("24h", "30d", "1y")
    return {
        **{f"overview of {span}": f"/?range={span}" for span in spans},
        "messages": "/messages",
        "messages that are old": f"/messages?before={show_id(known.befores[0])}",
        "messages that bounced": "/messages?state=bounced",
        "messages that are held: none": "/messages?state=held",
        "messages of a user that are held: none": f"/messages?user={known.username}&state=held",
        "messages by a word": "/messages?q=invoice",
        "messages by a word that is rare": "/messages?q=nothing+of+this+kind",
        "messages by an address": f"/messages?q={address}",
        "message": f"/messages/{show_id(known.messages[0])}",
        "recipients": "/recipients",
        "recipients by a part": "/recipients?q=person00042",
        "recipients by a part that is rare": "/recipients?q=nobody",
        "recipients by an address": f"/recipients?q={address}",
        "recipient": f"/recipient?address={address}",
        "suppressions": "/suppressions",
        "suppressions by a part that is rare": "/suppressions?q=nobody",
        "suppressions for complaints: none": "/suppressions?reason=complaint",
        "campaigns": "/campaigns",
        "campaigns by a word": "/campaigns?q=invoice",
        "campaigns that are old": "/campaigns?skip=150",
        **{f"campaign of {span}": f"{of_campaign}&range={span}" for span in spans},
        **{
            f"statistics of {span} by {by}": f"/statistics?by={by}&range={span}"
            for span in spans
            for by in ("campaign", "user", "list", "provider", "day")
        },
        **{
            f"statistics of {span} by {by} as CSV": f"/statistics.csv?by={by}&range={span}"
            for span in ("30d", "1y")
            for by in ("campaign", "user", "list", "provider", "day")
        },
        "lists": "/lists",
        "queue": "/queue",
    }


def _commands(config: str, known: _Known) -> dict[str, Callable[[], object]]:
    """Command lines by name; a process each."""
    program = str(Path(sys.executable).parent / "smtpplus")

    def command(*words: str) -> Callable[[], object]:
        line = [program, "--config", config, "--json", *words]
        return lambda: subprocess.run(line, check=True, capture_output=True)

    return {
        "user list, to compare": command("user", "list"),
        **{
            f"stats by {by}": command("stats", "--by", by)
            for by in ("campaign", "user", "list", "provider", "day")
        },
        "message show": command("message", "show", show_id(known.messages[0])),
        "recipient show": command("recipient", "show", known.addresses[0]),
        "queue": command("queue"),
        "suppression list": command("suppression", "list"),
    }


def _children_seconds() -> float:
    used = os.times()
    return used.children_user + used.children_system


def _get(port: int, address: str, token: str) -> Callable[[], object]:
    """Fetch a page, whole; it must be there."""

    def fetch() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", address, headers={"Cookie": f"{SESSION_COOKIE}={token}"})
        answer = connection.getresponse()
        answer.read()
        connection.close()
        if answer.status != http.client.OK:
            raise RuntimeError(f"{address}: {answer.status} {answer.reason}")

    return fetch
