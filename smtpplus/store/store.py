"""The store as the rest of the program opens it.

`open_store` for a service with a reactor; `open_store_blocking` and `run` for the command
line, which works on the same store while the service runs.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection
from twisted.internet.interfaces import IReactorFromThreads

from smtpplus.ports import IClock
from smtpplus.store.accepts import Accepts
from smtpplus.store.accounts import SqlAccounts
from smtpplus.store.changes import Changes
from smtpplus.store.commits import Committer, Transaction
from smtpplus.store.content_files import ContentFiles
from smtpplus.store.contents import StoredContents
from smtpplus.store.dialects import SqliteDialect, StoreDialect, disk_error
from smtpplus.store.facts import FactSql
from smtpplus.store.history import SqlHistory
from smtpplus.store.migrate import check_version, migrate, version_of
from smtpplus.store.nodes import Node, passing_number, register, started
from smtpplus.store.people import SqlPeople
from smtpplus.store.process_lock import ProcessLock
from smtpplus.store.queue import SqlQueue
from smtpplus.store.queue_changes import QueueChanges
from smtpplus.store.sandbox import SqlSandbox
from smtpplus.store.seal import Seal
from smtpplus.store.settlements import Settlements
from smtpplus.store.sqlite import SqliteFile
from smtpplus.store.transactions import InlineTransactions, ThreadedTransactions
from smtpplus.values.errors import NotFoundError

__all__ = ["Store", "open_store", "open_store_blocking", "run", "upgrade"]

T = TypeVar("T")

_LOCK_NAME = "smtpplus.lock"
_QUEUE_NAME = "queue"


class Store:
    """Everything that is kept, behind the ports."""

    def __init__(
        self,
        file: SqliteFile,
        data_dir: Path,
        transactions: ThreadedTransactions | InlineTransactions,
        clock: IClock,
        node: Node,
        secret: bytes,
    ) -> None:
        files = ContentFiles(data_dir / _QUEUE_NAME)
        facts = FactSql(transactions.dialect, node.fact_ids, node.number)
        accepts = Accepts(transactions.dialect, facts, node.number)
        settlements = Settlements(transactions.dialect, facts, accepts, files.remove)
        self._file = file
        self._data_dir = data_dir
        self._transactions = transactions
        self._clock = clock
        self._lock = ProcessLock(data_dir / _LOCK_NAME)
        self.node_id = node.number
        self.ids = node.ids
        self.changed = Changes(transactions, clock)
        self.accounts = SqlAccounts(transactions, Seal(secret, "dkim"))
        self.people = SqlPeople(transactions)
        changes = QueueChanges(transactions, facts, files.remove)
        self.queue = SqlQueue(transactions, accepts, settlements, files, node.number, changes)
        self.contents = StoredContents(transactions, files)
        self.history = SqlHistory(transactions)
        self.sandbox = SqlSandbox(transactions)

    async def start(self) -> None:
        """Become the one service on this data directory, and begin.

        Raises:
            ConflictError: another service runs on it (D13).
        """
        self._lock.take()
        self._transactions.start()
        now = self._clock.now()
        await self._transactions.write(lambda tx: started(tx, self.node_id, now))
        self.changed.subscribe(self.accounts.forget)
        await self.changed.start()

    async def close(self) -> None:
        """Finish what was asked, close everything, give the lock back."""
        self.changed.stop()
        await self._transactions.stop()
        self._lock.release()

    def free_octets(self) -> int:
        """Room left on the disk of the queue directory."""
        return shutil.disk_usage(self._data_dir).free

    async def facts(self) -> dict[str, str | int]:
        """What a doctor asks: how the store writes, how large it is."""
        found: dict[str, str | int] = await self._transactions.outside(self._file.facts)
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
) -> Store:
    """Open the store of a service; blocks for a moment. `Store.start` begins.

    Raises:
        UsageError: the url, a store of another version, a missing one without `create`.
        StoreUnavailableError, StoreBrokenError, StoreFullError: the disk.
    """
    file, node = _prepare(url, data_dir, clock, node_name, create=create)
    dialect = SqliteDialect()
    committer = Committer(file.open_writer, dialect, clock.monotonic)
    transactions = ThreadedTransactions(reactor, committer, file.open_reader, dialect)
    return Store(file, data_dir, transactions, clock, node, secret)


def open_store_blocking(
    url: str, data_dir: Path, *, clock: IClock, secret: bytes, create: bool = False
) -> Store:
    """Open the store without a reactor: what its methods answer has fired when it is given.

    For `run`. Works beside a running service; do not call `Store.start`. Raises as `open_store`.
    """
    file, node = _prepare(url, data_dir, clock, None, create=create)
    dialect = SqliteDialect()
    committer = Committer(file.open_writer, dialect, clock.monotonic)
    transactions = InlineTransactions(committer, file.open_reader, dialect)
    return Store(file, data_dir, transactions, clock, node, secret)


def run(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for nothing but a store opened to block."""
    try:
        work.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    work.close()
    raise RuntimeError("The coroutine waits for something that only a reactor can bring.")


def upgrade(url: str) -> tuple[str | None, str]:
    """Bring an older store to this version's tables: version before and after.

    Raises:
        NotFoundError: there is no store.
        UsageError: it is of a newer version.
    """
    file = SqliteFile(url)
    if not file.exists:
        raise _missing(file)
    dialect = SqliteDialect()
    with _our_errors(dialect):
        connection = file.open_writer()
        try:
            return migrate(connection, dialect)
        finally:
            connection.close()


def _prepare(
    url: str, data_dir: Path, clock: IClock, node_name: str | None, *, create: bool
) -> tuple[SqliteFile, Node]:
    """Make a new store's tables, or check an old one's version; who we are in it."""
    file, dialect = SqliteFile(url), SqliteDialect()
    if not file.exists and not create:
        raise _missing(file)
    with _our_errors(dialect):
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        ContentFiles(data_dir / _QUEUE_NAME).prepare()
        if not file.exists:
            file.make()
        connection = file.open_writer()
        try:
            return file, _prepare_tables(connection, dialect, clock, node_name)
        finally:
            connection.close()


def _prepare_tables(
    connection: Connection, dialect: StoreDialect, clock: IClock, node_name: str | None
) -> Node:
    version = version_of(connection)
    connection.rollback()
    if version is None:
        migrate(connection, dialect)
    else:
        check_version(version)
    if node_name is None:
        return Node.after(passing_number(), connection)
    dialect.begin(connection)
    number = register(Transaction(connection), node_name, clock.now())
    connection.commit()
    return Node.after(number, connection)


def _missing(file: SqliteFile) -> NotFoundError:
    return NotFoundError(f"There is no store at {file.path}: run `smtpplus init` first.")


@contextlib.contextmanager
def _our_errors(dialect: StoreDialect) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise disk_error(error) from error
    except Exception as error:
        ours = dialect.ours(error)
        if ours is error:
            raise
        raise ours from error
