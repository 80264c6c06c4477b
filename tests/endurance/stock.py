"""A long queue from the beginning: messages put into a store at rest, many in a transaction."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from sqlite3 import connect

from sqlalchemy import update
from twisted.internet.task import Clock

from smtpplus.net.clock import ReactorClock
from smtpplus.store.commits import Transaction
from smtpplus.store.schema import delivery
from smtpplus.store.store import open_store_blocking, run
from smtpplus.values.address import Address
from smtpplus.values.envelope import Envelope, EnvelopeRecipient
from smtpplus.values.ids import IdSource
from smtpplus.values.message import Accepted, Message, NewDelivery
from tests.endurance.house import House
from tests.endurance.ledger import STORE
from tests.endurance.load import SENDER, Mail

__all__ = ["stock", "stocked"]

_TOGETHER = 1_000


def stocked(number: int, domain: str) -> Iterator[Mail]:
    """The messages that `stock` puts there."""
    return (Mail(f"stock-{n}", domains=(domain,)) for n in range(number))


def stock(house: House, number: int, domain: str, due_in_seconds: float) -> None:
    """Put `number` messages for `domain` into the store of `house`, which does not run."""
    with closing(connect(house.queue / STORE)) as database:
        owner = database.execute("SELECT account_id, list_id, id FROM smtp_user").fetchone()
    now = time.time()
    store = open_store_blocking(
        f"sqlite:///{house.queue / STORE}",
        house.data_dir,
        clock=ReactorClock(Clock(), lambda: now),
        secret=bytes.fromhex((house.data_dir / "secret.key").read_text().strip()),
    )
    mails = stocked(number, domain)
    while some := list(islice(mails, _TOGETHER)):
        batch = [_accepted(store.ids, owner, mail, now, due_in_seconds) for mail in some]

        def write(transaction: Transaction, batch: list[Accepted] = batch) -> None:
            accepts = store.queue._accepts
            accepts.write(transaction, [accepts.rows(one) for one in batch])
            ids = [new.id for one in batch for new in one.deliveries]
            tried = update(delivery).where(delivery.c.id.in_(ids)).values(attempts=1)
            transaction.execute(tried)  # or it were scheduled, which a flush leaves alone

        run(_awaited(store._transactions.write(write)))
    run(store.close())


async def _awaited(answer: object) -> None:
    await answer  # type: ignore[misc]


def _accepted(
    ids: IdSource, owner: tuple[int, int, int], mail: Mail, now: float, due_in_seconds: float
) -> Accepted:
    content = mail.content()
    account, mail_list, user = owner
    (to,) = mail.addresses
    recipient = EnvelopeRecipient(Address.parse(to))
    message = Message(
        id=ids.next(now),
        account_id=account,
        list_id=mail_list,
        user_id=user,
        received_at=now,
        expires_at=now + 432_000,
        envelope=Envelope(Address.parse(SENDER), (recipient,)),
        header_from=SENDER,
        from_domain="example.com",
        subject=mail.name,
        message_id=f"<{mail.name}@example.com>",
        octets=len(content),
        head_octets=content.index(b"\r\n\r\n") + 4,
        prepend=b"Received: from stock.test by us.test; Mon, 01 Jan 2024 00:00:00 +0000\r\n",
    )
    new = (NewDelivery(ids.next(now), recipient),)
    return Accepted(message, new, content, False, now + due_in_seconds)
