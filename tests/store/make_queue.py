"""Makes a queue as this version leaves it, for tests/live/test_upgrade.py of later versions.

``python -m tests.store.make_queue 0004`` writes ``tests/store/releases/queue-0004.sql``: to be run
before a new revision of the tables is begun. `MAILS` is what every such queue holds: all that is
not `OVER` still has to be delivered.
"""

from __future__ import annotations

import contextlib
import sqlite3
import sys
import tempfile
from pathlib import Path

from twisted.internet.task import Clock

from smtpplus.net.clock import ReactorClock
from smtpplus.store.store import Store, open_store_blocking, run
from smtpplus.values.address import Address
from smtpplus.values.envelope import Envelope, EnvelopeRecipient
from smtpplus.values.message import Accepted, DeliveryState, Message, NewDelivery
from smtpplus.values.submission import SmtpUser, Stream
from tests.endurance.load import SENDER, Mail
from tests.store.samples import NOW, SECRET, VERIFIER, delivery_of, settlement

__all__ = ["LARGE", "MAILS", "OVER", "RELEASES"]

RELEASES = Path(__file__).parent / "releases"
LARGE = Mail("old-7", octets=140_000)  # its file is made anew, it is not in the dump
_SHARED, _PARTLY, _LEASED = Mail("old-6", 3, 700), Mail("old-8", 2, 700), Mail("old-9", octets=700)
_HELD, _BOUNCED = Mail("old-10", octets=700), Mail("old-11", octets=700)
MAILS = (
    *(Mail(f"old-{n}", octets=700) for n in range(6)),
    *(_SHARED, LARGE, _PARTLY, _LEASED, _HELD, _BOUNCED),
)
OVER = frozenset({_PARTLY.addresses[1], _BOUNCED.addresses[0]})


async def _user(store: Store) -> SmtpUser:
    await store.accounts.add_account("old", NOW)
    mails = await store.accounts.add_list("old", "default", Stream.TRANSACTIONAL, NOW)
    await store.accounts.add_domain("old", "example.com", NOW, NOW)
    return await store.accounts.add_user(mails.id, "s10001_01", VERIFIER, [], [], NOW)


async def _put(store: Store, user: SmtpUser, mail: Mail, *, leased: bool) -> Accepted:
    content = mail.content()
    to = tuple(EnvelopeRecipient(Address.parse(address)) for address in mail.addresses)
    message = Message(
        id=store.ids.next(NOW),
        account_id=user.account_id,
        list_id=user.list_id,
        user_id=user.id,
        received_at=NOW,
        expires_at=NOW + 432_000,
        envelope=Envelope(Address.parse(SENDER), to),
        header_from=SENDER,
        from_domain="example.com",
        subject=mail.name,
        message_id=f"<{mail.name}@example.com>",
        octets=len(content),
        head_octets=content.index(b"\r\n\r\n") + 4,
        prepend=b"Received: from old.example by us.example; Mon, 01 Jan 2024 00:00:00 +0000\r\n",
        in_file=mail is LARGE,
    )
    if message.in_file:
        writer = await store.contents.begin(message.id)
        await writer.write(content)
        await writer.finish()
    new = tuple(NewDelivery(store.ids.next(NOW), one) for one in to)
    item = Accepted(message, new, None if message.in_file else content, leased, NOW)
    await store.queue.accept(item)
    return item


async def _fill(store: Store) -> None:
    user = await _user(store)
    leased = {_PARTLY, _LEASED, _HELD, _BOUNCED}
    items = {mail: await _put(store, user, mail, leased=mail in leased) for mail in MAILS}
    queued, held, bounced = DeliveryState.QUEUED, DeliveryState.HELD, DeliveryState.BOUNCED
    await store.queue.settle(
        [
            settlement(delivery_of(items[_PARTLY], 0), queued, due_at=NOW + 60),
            settlement(delivery_of(items[_PARTLY], 1)),
            settlement(delivery_of(items[_HELD]), held),
            settlement(delivery_of(items[_BOUNCED]), bounced),
        ]
    )


def _main(version: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clock = ReactorClock(Clock(), lambda: NOW)
        url = f"sqlite:///{folder}/store"
        store = open_store_blocking(url, folder, clock=clock, secret=SECRET, create=True)
        run(_fill(store))
        run(store.close())
        with contextlib.closing(sqlite3.connect(folder / "store")) as database:
            dump = "\n".join(database.iterdump())
    (RELEASES / f"queue-{version}.sql").write_text(f"{dump}\n")


if __name__ == "__main__":
    _main(sys.argv[1])
