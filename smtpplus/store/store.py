"""The store as the rest of the program opens it.

`open_store` for a service with a reactor; `open_store_blocking` and `run` for the command
line, which works on the same store while the service runs. The url says where it is: a file of
SQLite, for one service, or a database of PostgreSQL, for as many as have a name each.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection
from twisted.internet.interfaces import IReactorFromThreads

from smtpplus.ports import IClock
from smtpplus.store.accepts import Accepts
from smtpplus.store.access import check_access, check_owner
from smtpplus.store.accounts import SqlAccounts
from smtpplus.store.campaign_moves import CampaignMoves
from smtpplus.store.campaigns import SqlCampaigns
from smtpplus.store.changes import Changes, FileChanges, NotedChanges
from smtpplus.store.commits import Committer
from smtpplus.store.content_files import QUARANTINE, QUEUE_NAME, ContentFiles
from smtpplus.store.contents import LargeContents, StoredContents
from smtpplus.store.dialects import StoreDialect, our_errors
from smtpplus.store.erasure import Erasure
from smtpplus.store.evidence import log_was_damaged
from smtpplus.store.facts import FactSql
from smtpplus.store.history import SqlHistory
from smtpplus.store.large_files import LargeFiles
from smtpplus.store.large_rows import LargeRows
from smtpplus.store.leases import Leases, NodeLeases, OwnLeases
from smtpplus.store.migrate import check_version, migrate, version_of
from smtpplus.store.nodes import Node, enrolled, passing_number, started
from smtpplus.store.people import SqlPeople
from smtpplus.store.process_lock import ProcessLock, WriteTurn, is_locked, keep_turns, lock_files
from smtpplus.store.queue import SqlQueue
from smtpplus.store.queue_changes import QueueChanges
from smtpplus.store.recipient_counts import RecipientSql
from smtpplus.store.recipients import SqlRecipients
from smtpplus.store.responses import SqlResponses
from smtpplus.store.room import DiskRoom
from smtpplus.store.sandbox import SqlSandbox
from smtpplus.store.seal import Seal
from smtpplus.store.secret_check import adopt_secret, check_secret
from smtpplus.store.settlements import Settlements
from smtpplus.store.sqlite import SqliteFile
from smtpplus.store.suppressions import SqlSuppressions
from smtpplus.store.topics import ACCOUNTS, SUPPRESSIONS, TOPICS
from smtpplus.store.transactions import InlineTransactions, ThreadedTransactions
from smtpplus.store.write_talk import works_of
from smtpplus.values.errors import ConflictError, NotFoundError, StoreCorruptError, UsageError

__all__ = [
    "ALONE",
    "LEASE_SECONDS",
    "Place",
    "Store",
    "open_store",
    "open_store_blocking",
    "run",
    "upgrade",
]

T = TypeVar("T")

LEASE_SECONDS = 60.0

_LOCK_NAME = "smtpplus.lock"
_POSTGRESQL = ("postgresql://", "postgres://")


@dataclass(frozen=True, slots=True)
class Place:
    """A process's place in its service: which of how many on this machine, from 0 on."""

    number: int = 0
    processes: int = 1

    @property
    def is_sibling(self) -> bool:
        """Is it another than the first, which holds the lock and looks after the queue?"""
        return self.number > 0


ALONE = Place()


class _Database(Protocol):
    """Where a store is: a file, or a server's database. `str` of it is what people are told."""

    dialect: StoreDialect

    @property
    def exists(self) -> bool: ...
    def make(self) -> None: ...
    def open_writer(self, check: bool = False) -> Connection: ...
    def open_reader(self) -> Connection: ...
    def facts(self, connection: Connection) -> dict[str, str | int]: ...


class Store:
    """Everything that is kept, behind the ports."""

    def __init__(
        self,
        database: _Database,
        data_dir: Path,
        transactions: ThreadedTransactions | InlineTransactions,
        clock: IClock,
        node: Node,
        secret: bytes,
        leases: Leases,
        changed: Changes,
        place: Place = ALONE,
    ) -> None:
        dialect = transactions.dialect
        facts = FactSql(dialect, node.fact_ids, node.number)
        counts = RecipientSql(dialect, node.fact_ids)
        large: LargeContents = LargeRows(transactions, node.number, clock.now)
        if dialect.single_service:
            files = ContentFiles(data_dir / QUEUE_NAME)
            large = LargeFiles(transactions, files, clock.now)
        self._room = DiskRoom(database) if isinstance(database, SqliteFile) else None
        accepts = Accepts(dialect, facts, counts, node.number, large.remove, self._room)
        self._forget_campaigns = accepts.forget_campaigns
        settlements = Settlements(dialect, facts, counts, accepts, large.remove)
        if (
            place.processes > 1
            and dialect.single_service
            and isinstance(transactions, ThreadedTransactions)
        ):
            transactions.ask_writer(clock, data_dir, works_of(accepts, settlements))
        changes = QueueChanges(transactions, facts, large.remove)
        self._database = database
        self._data_dir = data_dir
        self._making_room = False
        self._transactions = transactions
        self._clock = clock
        self._place = place
        self._lock = ProcessLock(data_dir / _LOCK_NAME)
        self._store_lock = ProcessLock(database.lock) if isinstance(database, SqliteFile) else None
        self.node_id = node.number
        self.ids = node.ids
        self.leases = leases
        self.changed = changed
        self.accounts = SqlAccounts(transactions, Seal(secret, "dkim"), clock.now)
        self.people = SqlPeople(transactions)
        self.suppressions = SqlSuppressions(transactions, node.fact_ids, secret, clock.now)
        note = self.suppressions.note
        self.queue = SqlQueue(
            transactions,
            accepts,
            settlements,
            large,
            node.number,
            leases,
            changes,
            note,
            is_sibling=place.is_sibling,
        )
        self.responses = SqlResponses(transactions, dialect, facts, self.suppressions)
        moves = CampaignMoves(transactions, dialect, node.fact_ids, self._forget_campaigns)
        erasure = Erasure(transactions, changes, moves, node.fact_ids, secret, note)
        self.recipients = SqlRecipients(transactions, erasure, secret)
        self.campaigns = SqlCampaigns(transactions)
        self.contents = StoredContents(transactions, large)
        self.history = SqlHistory(transactions)
        self.sandbox = SqlSandbox(transactions)

    async def start(self) -> None:
        """Become the one service on this data directory, or of this node's name, and begin.

        Raises:
            ConflictError: another service is (D13).
        """
        if self._transactions.dialect.single_service and not self._place.is_sibling:
            self._lock.take()
            self._take_store_lock()
            keep_turns(self._data_dir, wanted=self._place.processes > 1)
        self._transactions.start()
        self.changed.subscribe(self.accounts.forget, ACCOUNTS)
        self.changed.subscribe(self._forget_campaigns, ACCOUNTS)
        self.changed.subscribe(self.suppressions.follow, SUPPRESSIONS)
        await self.changed.start()
        if isinstance(self.leases, NodeLeases):
            await self.leases.start()
        else:
            now = self._clock.now()
            with contextlib.suppress(StoreCorruptError):  # it is in the log; reading goes on
                await self._transactions.write(lambda tx: started(tx, self.node_id, now))
        with contextlib.suppress(StoreCorruptError):
            await self.suppressions.load()

    async def close(self) -> None:
        """Finish what was asked, close everything, give lock and leases back."""
        self.changed.stop()
        if isinstance(self.leases, NodeLeases):
            await self.leases.stop()
        await self._transactions.stop()
        self._release_locks()

    def _take_store_lock(self) -> None:
        if self._store_lock is not None:
            try:
                self._store_lock.take()
            except ConflictError:
                self._lock.release()
                raise

    def _release_locks(self) -> None:
        if self._store_lock is not None:
            self._store_lock.release()
        self._lock.release()

    @property
    def lock_descriptor(self) -> int | None:
        """Of the lock on the data directory: it holds while any process has this open."""
        return self._lock.descriptor

    @property
    def trouble(self) -> str:
        """Why this process writes nothing to it until a check has passed; "" where it does."""
        return self._transactions.trouble

    def observe_commits(self, observe: Callable[[int, float, float], None]) -> None:
        """Call `observe` after each write transaction, in the writer's thread.

        With how many requests shared it, how many seconds it took in all, and how many of them
        were its COMMIT, which writes the log and syncs it (0: it did not come so far).
        """
        if isinstance(self._transactions, ThreadedTransactions):
            self._transactions.observe = observe

    def free_octets(self) -> int:
        """Room left on the disks of queue directory and store; a server looks after its own."""
        if self._room is None:
            return sys.maxsize
        if self._room.is_short() and not self._making_room:
            self._making_room = True
            self._transactions.outside(self._room.make_room).addBoth(self._made_room)
        return min(self._room.left(), shutil.disk_usage(self._data_dir / QUEUE_NAME).free)

    def _made_room(self, _: object) -> None:
        self._making_room = False

    async def facts(self) -> dict[str, str | int]:
        """What a doctor asks: how the store writes, how large it is."""
        found: dict[str, str | int] = await self._transactions.outside(self._database.facts)
        return found


def open_store(
    url: str,
    data_dir: Path,
    *,
    reactor: IReactorFromThreads,
    clock: IClock,
    node_name: str,
    secret: bytes,
    create: bool = True,
    lease_seconds: float = LEASE_SECONDS,
    place: Place = ALONE,
) -> Store:
    """Open the store of a service; blocks for a moment. `Store.start` begins.

    `node_name` is the process's own on this store; its leases hold `lease_seconds` after the
    last word from it. `place` is its place among the processes of one service.

    Raises:
        UsageError: the url, a store of another version or with another secret, a missing one
            without `create`, files that this user may not use.
        StoreUnavailableError, StoreBrokenError, StoreFullError: the disk, or the server.
    """
    database = _database(url)
    node = _prepare(database, data_dir, clock, node_name, secret, create=create)

    def committer() -> Committer:
        return Committer(
            database.open_writer,
            database.dialect,
            clock.monotonic,
            turn=_turn(database, data_dir),
            look=database.look if isinstance(database, SqliteFile) else None,
        )

    transactions = ThreadedTransactions(reactor, committer, database.open_reader, database.dialect)
    leases: Leases = OwnLeases()
    changed: Changes = FileChanges(transactions, clock)
    if not database.dialect.single_service:
        leases = NodeLeases(transactions, clock, node.number, lease_seconds)
        changed = _noted(database, transactions, clock, node.number, node_name)
    return Store(database, data_dir, transactions, clock, node, secret, leases, changed, place)


def open_store_blocking(
    url: str, data_dir: Path, *, clock: IClock, secret: bytes, create: bool = False
) -> Store:
    """Open the store without a reactor: what its methods answer has fired when it is given.

    For `run`. Works beside a running service; do not call `Store.start`. Raises as `open_store`.
    """
    database = _database(url)
    node = _prepare(database, data_dir, clock, None, secret, create=create)

    def committer() -> Committer:  # a command changes little: everybody looks after each
        return Committer(
            database.open_writer,
            database.dialect,
            clock.monotonic,
            topics=TOPICS,
            turn=_turn(database, data_dir),
        )

    transactions = InlineTransactions(committer, database.open_reader, database.dialect)
    changed = FileChanges(transactions, clock)
    return Store(database, data_dir, transactions, clock, node, secret, OwnLeases(), changed)


def run(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for nothing but a store opened to block."""
    try:
        work.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    work.close()
    raise RuntimeError("The coroutine waits for something that only a reactor can bring.")


def upgrade(
    url: str, new_secret: bytes | None = None, *, make: bool = False
) -> tuple[str | None, str]:
    """Bring an older store to this version's tables: version before and after.

    Makes the tables of a server's database that has none; a store in a file only to `make` it. With
    `new_secret` that is the store's own from now on; what was sealed by another one stays closed.

    Raises:
        NotFoundError: there is no store, and no database for one.
        ConflictError: there is one, where it was to be made.
        UsageError: it is of a newer version.
    """
    database = _database(url)
    if is_file := isinstance(database, SqliteFile):
        check_access(database.folder, database.path)
    if not database.exists:
        if not (make and is_file):
            raise _missing(database)
        database.make()
    with our_errors(database.dialect):
        connection = database.open_writer()
        try:
            has_tables = version_of(connection) is not None
            connection.rollback()
            if make and has_tables:
                raise ConflictError(f"There is a store at {database} already.")
            if is_file and not make and not has_tables:
                raise _missing(database)
            versions = migrate(connection, database.dialect)
            if new_secret is not None:
                adopt_secret(connection, database.dialect, new_secret)
            return versions
        finally:
            connection.close()


def _turn(database: _Database, data_dir: Path) -> WriteTurn | None:
    return WriteTurn(data_dir) if database.dialect.single_service else None


def _database(url: str) -> _Database:
    if not url.startswith(_POSTGRESQL):
        return SqliteFile(url)
    try:
        from smtpplus.store.postgresql import PostgresqlServer  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise UsageError(
            "A store in PostgreSQL needs psycopg: install smtpplus[postgresql]."
        ) from error
    return PostgresqlServer(url)


def _noted(
    database: _Database,
    transactions: ThreadedTransactions,
    clock: IClock,
    number: int,
    name: str,
) -> Changes:
    from smtpplus.store.notices import Notices  # noqa: PLC0415 - an extra
    from smtpplus.store.postgresql import PostgresqlServer  # noqa: PLC0415 - an extra

    assert isinstance(database, PostgresqlServer)
    return NotedChanges(transactions, clock, Notices(database.open_session, number, name))


def _prepare(
    database: _Database,
    data_dir: Path,
    clock: IClock,
    node_name: str | None,
    secret: bytes,
    *,
    create: bool,
) -> Node:
    """Make a new store's tables, or check an old one's version; who we are in it."""
    _check_access(database, data_dir)
    if not database.exists and not create:
        raise _missing(database)
    with our_errors(database.dialect):
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if database.dialect.single_service:
            ContentFiles(data_dir / QUEUE_NAME).prepare()
        if not database.exists:
            database.make()
        if isinstance(database, SqliteFile) and not is_locked(data_dir):
            quarantine = data_dir / QUEUE_NAME / QUARANTINE
            if log_was_damaged(database.path, quarantine, clock.now()):
                database.tell_of_damage()
        connection = database.open_writer()
        try:
            if node_name is not None:
                database.dialect.make_room(connection)  # a kill may have left a full disk
                if isinstance(database, SqliteFile):
                    database.keep_reserve()
            _prepare_tables(connection, database, create=create)
            check_secret(connection, database.dialect, secret)
            return _node(connection, database.dialect, clock, node_name)
        finally:
            connection.close()


def _check_access(database: _Database, data_dir: Path) -> None:
    check_access(data_dir, write=False)  # it may hold keys alone
    if isinstance(database, SqliteFile):
        check_access(data_dir, data_dir / QUEUE_NAME)
        check_owner(data_dir / QUEUE_NAME)
        companions = [Path(f"{database.path}{end}") for end in ("", "-wal", "-shm")]
        check_access(database.folder, *companions, database.lock, *lock_files(data_dir))


def _prepare_tables(connection: Connection, database: _Database, *, create: bool) -> None:
    version = version_of(connection)
    connection.rollback()
    if version is not None:
        check_version(version)
    elif create:
        migrate(connection, database.dialect)
    else:
        raise _missing(database)


def _node(
    connection: Connection, dialect: StoreDialect, clock: IClock, node_name: str | None
) -> Node:
    if node_name is None:
        return Node.after(passing_number(), connection)
    return enrolled(connection, dialect, node_name, clock.now())


def _missing(database: _Database) -> NotFoundError:
    if isinstance(database, SqliteFile):
        state = "is empty" if database.path.exists() else "is missing"
        return NotFoundError(
            f"There is no store: {database} {state}. Users, lists and queued mail are in it, so "
            "none is made unasked. Is its disk mounted, are server.data_dir and store.url right? "
            "`smtpplus restore FILE --to DIR` takes it from a backup; only where there never was "
            "one, `smtpplus migrate --new-store` makes an empty one."
        )
    return NotFoundError(f"There is no store in {database}: run `smtpplus migrate` to make one.")
