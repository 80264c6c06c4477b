"""Opens and clicks: how many are answered in a second, and how soon they are all written.

Every request is of a delivery of its own, from an address of its own behind a proxy, as those of
people are: none repeats another, all are written. They are asked over kept connections, one
request under way on each.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.ours import SIGNED, Smtpplus
from benchmarks.plan import Plan
from benchmarks.programs import Programs, wait_for
from benchmarks.results import Report
from smtpplus.config import load
from smtpplus.installation import Installation, open_installation, run
from smtpplus.message.token import TokenFacts, Tokens
from smtpplus.message.tracking_urls import LinkTarget, click_url, open_url
from smtpplus.ports import IQueue
from smtpplus.values.address import Address
from smtpplus.values.envelope import Envelope, EnvelopeRecipient
from smtpplus.values.ids import IdSource
from smtpplus.values.message import (
    Accepted,
    Delivery,
    DeliveryState,
    Message,
    NewDelivery,
    Settlement,
)
from smtpplus.values.outcome import Outcome, Result, Stage
from smtpplus.values.status_codes import EnhancedCode

__all__ = ["tracking"]

_CONNECTIONS = 20
_RECIPIENTS = 500  # of a message
_RATE = 2_000  # a second, about: from it follows how many make `Plan.seconds`
_TARGET = "https://shop.example.com/products/4711?utm_source=mail&utm_campaign=orders"
_HEAD = b"From: a@example.com\r\nSubject: Your order\r\n\r\n"


def tracking(plan: Plan, programs: Programs, report: Report) -> None:
    """Opens, then clicks, each `plan.rounds` times."""
    number = max(1, round(plan.seconds * _RATE / _RECIPIENTS)) * _RECIPIENTS
    server = Smtpplus(programs)
    server.set("web.trusted_proxies", '["127.0.0.0/8"]')
    with open_installation(load(Path(server.config), [])) as installation:
        facts = _deliveries(installation, 2 * plan.rounds * number)
        tokens = Tokens([installation.secret])
    paths = _paths(tokens, facts[: len(facts) // 2], facts[len(facts) // 2 :])
    server.start()
    written = 0
    for start in range(0, plan.rounds * number, number):
        for kind in ("opens", "clicks"):
            file = programs.folder / "paths"
            file.write_text("\n".join(paths[kind][start : start + number]))
            written += number
            _one(server, file, kind, written, report)


def _one(server: Smtpplus, file: Path, kind: str, written: int, report: Report) -> None:
    cpu, begin = server.cpu_seconds(), time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.http_load", str(server.web), str(file),
         str(_CONNECTIONS)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = json.loads(done.stdout)
    answered = sum(found["statuses"].values())
    if set(found["statuses"]) != {"200" if kind == "opens" else "302"}:
        raise RuntimeError(f"{kind} were answered {found['statuses']}")
    with open_installation(load(Path(server.config), [])) as installation:
        wait_for(f"{kind} to be written", lambda: _written(installation) >= written)
    all_seconds = time.monotonic() - begin
    row = report.row("tracking", kind, "smtpplus", "answers/s", note=f"{_CONNECTIONS} connections")
    row.samples.append(answered / found["seconds"])
    row.server_us.append((server.cpu_seconds() - cpu) / answered * 1e6)
    row.load_us.append(found["cpu_seconds"] / answered * 1e6)
    for point in ("p50_ms", "p99_ms"):
        name = f"{kind}: answered, {point.removesuffix('_ms')}"
        report.row("tracking", name, "smtpplus", "ms").samples.append(found[point])
    late = report.row("tracking", f"{kind}: the last one written after", "smtpplus", "s")
    late.samples.append(all_seconds - found["seconds"])


def _written(installation: Installation) -> int:
    """Opens and clicks that the counters know."""
    totals = run(installation.history.totals(None, 0.0, time.time() + 3600, "day"))
    return sum(
        sums for _, metrics in totals for metric, sums in metrics.items() if _is_response(metric)
    )


def _is_response(metric: str) -> bool:
    kind, _, by = metric.partition(" ")  # "opened" is a person's, "opened scanner" is not
    return kind in {"opened", "clicked"} and by != "once"


def _paths(
    tokens: Tokens, opened: list[TokenFacts], clicked: list[TokenFacts]
) -> dict[str, list[str]]:
    now, target = time.time(), LinkTarget.of(_TARGET)
    assert target is not None
    return {
        "opens": [
            f"{open_url('', tokens, one, now)}\t{_address(number)}"
            for number, one in enumerate(opened)
        ],
        "clicks": [
            f"{click_url('', tokens, one, now, target, number % 10)}\t{_address(number)}"
            for number, one in enumerate(clicked)
        ],
    }


def _address(number: int) -> str:
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def _deliveries(installation: Installation, number: int) -> list[TokenFacts]:
    """So many deliveries that arrived an hour ago."""
    (user,) = run(installation.accounts.users(None))
    at = time.time() - 3600
    ids = IdSource(1)
    found = []
    for first in range(0, number, _RECIPIENTS):
        recipients = tuple(
            EnvelopeRecipient(Address(f"customer{count}", "example.net"))
            for count in range(first, first + _RECIPIENTS)
        )
        message = Message(
            id=ids.next(at),
            account_id=user.account_id,
            list_id=user.list_id,
            user_id=user.id,
            received_at=at,
            expires_at=at + 5 * 86400,
            envelope=Envelope(Address.parse(SIGNED), recipients),
            header_from=SIGNED,
            from_domain="example.com",
            subject="Your order",
            message_id=f"<{first}@example.com>",
            octets=len(_HEAD),
            head_octets=len(_HEAD),
            prepend=b"",
            campaign="orders",
        )
        new = tuple(NewDelivery(ids.next(at), recipient) for recipient in recipients)
        accepted = Accepted(message, new, _HEAD, leased=True, due_at=at)
        run(_arrive(installation.queue, accepted, [_arrived(message, one, at) for one in new]))
        found += [TokenFacts(user.account_id, user.list_id, message.id, one.id) for one in new]
    return found


async def _arrive(queue: IQueue, accepted: Accepted, arrived: list[Settlement]) -> None:
    await queue.accept(accepted)
    await queue.settle(arrived)


def _arrived(message: Message, new: NewDelivery, at: float) -> Settlement:
    status = EnhancedCode.parse("2.0.0")
    assert status is not None
    outcome = Outcome(Result.DELIVERED, Stage.BODY, status, "ok", None)
    delivery = Delivery(new.id, message, new.recipient, 0, at)
    return Settlement(delivery, DeliveryState.DELIVERED, at + 1, outcome, None)
