"""Requests that share a transaction, on one connection, in one thread: the group commit.

Guarantees: a request has a result only after the commit that holds its writes; where the shared
transaction fails, they run once more, each behind a savepoint, and one that fails alone is rolled
back alone; where it fails as a whole each request runs in its own. So a request's function may run
three times and does nothing but use its `Transaction`. After the disk failed nothing is written
until the store has been reopened and checked (fsync may have dropped what the connection believes
to be written). Damage that a reader met is told of, and the rest goes on, unless a look at the
whole store finds that writing would make it worse. Where the disk is full the database may make
room, and they run once more.

What stood in another transaction's way, and was ended for it, runs again.

Where the connection to a server is lost before the commit, the requests run once more on a new
one. Lost in the commit itself, the server is asked what became of it, for `_DOUBT_SECONDS`;
if it does not come back so soon, the requests fail with `DoubtfulError`: they may have been
committed. Does not start threads.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, CursorResult, Executable
from twisted.logger import Logger

from smtpplus.store.damage import Damage, Look
from smtpplus.store.dialects import (
    Fault,
    IdsSql,
    ManySql,
    RowsSql,
    StoreDialect,
    disk_error,
)
from smtpplus.store.process_lock import WriteTurn
from smtpplus.values.errors import (
    SmtpplusError,
    StoreBrokenError,
    StoreCorruptError,
    StoreUnavailableError,
)

__all__ = ["Committer", "DoubtfulError", "Request", "Transaction"]

_log = Logger()
_REOPEN_AFTER_SECONDS = 5.0
_CHECK_AFTER_SECONDS = 60.0  # where it did not pass: the check reads the whole store
_CONNECT_AFTER_SECONDS = 0.5  # a server that is away is not asked by each request
_ROOM_AFTER_SECONDS = 1.0
_DOUBT_SECONDS = 8.0
_CLASHES = 5  # with other transactions, one after the other
_ASK_SECONDS = 0.2


class DoubtfulError(StoreUnavailableError):
    """Who was to commit went away while committing, and what became of it could not be asked."""

    def __init__(self) -> None:
        super().__init__("The store went away while it was committing.")


class _LostInCommitError(Exception):
    """The connection was lost after the commit was asked for."""

    def __init__(self, transaction_id: Any, after: list[Callable[[], None]]) -> None:
        super().__init__(transaction_id)
        self.transaction_id = transaction_id
        self.after = after


class Transaction:
    """What a request's function may use; gone when it returns."""

    __slots__ = ("_cursor", "after", "connection", "topics")

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.after: list[Callable[[], None]] = []
        self.topics: set[str] = set()
        self._cursor: Any = connection.connection.cursor()

    def execute(self, statement: Executable, parameters: Any = None) -> CursorResult[Any]:
        """A Core statement."""
        return self.connection.execute(statement, parameters)

    def say(self, sql: str) -> None:
        """A statement for the driver, without parameters or rows."""
        self._cursor.execute(sql)

    def many(self, sql: ManySql, rows: Sequence[Sequence[Any]]) -> None:
        """Driver SQL over many rows of positional parameters: the hot path."""
        if not rows:
            return
        if isinstance(sql, RowsSql):
            for text, values in sql.pieces(rows):
                self._cursor.execute(text, values)
            return
        if isinstance(sql, str):
            self._cursor.executemany(sql, rows)
            return
        with self._cursor.copy(sql.text) as copy:
            copy.set_types(sql.types)
            for row in rows:
                copy.write_row(row)

    def rows(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """All rows that a statement for the driver answers."""
        self._cursor.execute(sql, values)
        found: list[tuple[Any, ...]] = self._cursor.fetchall()
        return found

    def of_ids(self, sql: IdsSql, ids: Iterable[int]) -> list[tuple[Any, ...]]:
        """All rows of a statement over `ids`; none of one that has no rows."""
        found: list[tuple[Any, ...]] = []
        for text, some in sql.pieces(ids):
            self._cursor.execute(text, some)
            if self._cursor.description is not None:
                found += self._cursor.fetchall()
        return found

    def tell(self, topic: str) -> None:
        """Let other processes know, with the commit, what has changed: see changes.py."""
        self.topics.add(topic)

    def after_commit(self, call: Callable[[], None]) -> None:
        """Call it once the commit is on the disk, in a thread that may block; never before."""
        self.after.append(call)


class Request:
    """A function that wants a transaction, and what became of it.

    With `item` set, requests of the same `work` that wait together are handed to one call
    ``work(transaction, items)``, which answers a list of their results; else it is
    ``work(transaction)``, which answers its result.
    """

    __slots__ = ("answer", "error", "item", "result", "work")

    def __init__(self, work: Callable[..., Any], item: Any = None, answer: Any = None) -> None:
        self.work = work
        self.item = item
        self.answer = answer
        self.result: Any = None
        self.error: BaseException | None = None


class Committer:
    """Runs requests together on a connection that it opens, and reopens, by `open_writer`.

    `open_writer` gets True where the store is to be checked first. Each transaction tells of
    `topics`, and waits for its `turn` where several processes write. `look` checks the whole store,
    where that can be done, and answers what is wrong with it and whether writing would make it
    worse (`damage.py`). `pause` waits for so many seconds. Not thread-safe, but for its `damage`.
    """

    def __init__(
        self,
        open_writer: Callable[[bool], Connection],
        dialect: StoreDialect,
        monotonic: Callable[[], float],
        *,
        topics: Iterable[str] = (),
        turn: WriteTurn | None = None,
        look: Look | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._open = open_writer
        self._dialect = dialect
        self._monotonic = monotonic
        self._topics = frozenset(topics)
        self._turn = turn
        self._pause = pause
        self._connection: Connection | None = None
        self._broken: BaseException | None = None
        self.damage = Damage(monotonic, look, self._tell)  # that readers met
        self._reopen_at = 0.0
        self._room_at = float("-inf")
        self._away: SmtpplusError | None = None
        self.sync_seconds = 0.0  # how long the last COMMIT took: the log's write and its sync
        self.generation = 0  # grows when the store was reopened: readers follow
        self.refusal: SmtpplusError | None = None  # set: nothing is written any more

    @property
    def is_broken(self) -> bool:
        """Did the disk fail, and no check has passed since?"""
        return self._broken is not None

    @property
    def is_damaged(self) -> bool:
        """Was damage met, and no check has passed since?"""
        met = self.damage.spreading or self._broken
        return met is not None and isinstance(self._dialect.ours(met), StoreCorruptError)

    @property
    def trouble(self) -> str:
        """What is known to be wrong until a check has passed; "" where nothing is."""
        broken = self._broken
        return self.damage.text if broken is None else str(self._dialect.ours(broken))

    def run(self, requests: Sequence[Request]) -> list[Callable[[], None]]:
        """Give each request its result or its error; what is to be done after the commit."""
        error = self.take_turn()
        if error is not None:
            for request in requests:
                request.error = error
            return []
        try:
            return self._run(requests, _CLASHES)
        finally:
            self.end_turn()

    def take_turn(self) -> SmtpplusError | None:
        """Wait until no other process writes; why one cannot, where so.

        `run` does it by itself. Who takes the turn before it gathers requests has those, too, that
        came meanwhile: half as many commits for two processes that are busy.
        """
        if self._turn is not None:
            try:
                self._turn.take()
            except OSError as error:  # no descriptor is left, say
                return disk_error(error)
        return None

    def end_turn(self) -> None:
        """Once for each `take_turn` that answered nothing."""
        if self._turn is not None:
            self._turn.end()

    def _run(
        self, requests: Sequence[Request], clashes: int, *, guarded: bool = False
    ) -> list[Callable[[], None]]:
        for request in requests:
            request.result = request.error = None
        was_open = self._connection is not None
        try:
            return self._together(requests, guarded=guarded)
        except _LostInCommitError as lost:
            self.close()
            return self._settle_doubt(requests, lost)
        except Exception as caught:  # noqa: BLE001 - whatever it was, each request gets an answer
            error = caught
        fault = self._abandon(error)
        if fault is Fault.CLASH and clashes:
            return self._run(requests, clashes - 1, guarded=guarded)
        if fault is Fault.REQUEST and len(requests) > 1 and not guarded:
            return self._run(requests, clashes, guarded=True)
        if was_open and fault is Fault.UNAVAILABLE and self._connection is None:
            return self.run(requests)  # the connection had died: a new one tells more
        return self._without(requests, fault, error)

    def _without(
        self, requests: Sequence[Request], fault: Fault, error: Exception
    ) -> list[Callable[[], None]]:
        """What is left to be tried after a transaction of all failed with `error`."""
        if fault is Fault.FULL and self._make_room():
            after = self.run(requests)
            if not any(request.error for request in requests):
                self._room_at = float("-inf")  # it helped: it may the next time
            return after
        if len(requests) > 1 and fault in {Fault.REQUEST, Fault.FULL}:
            return [call for request in requests for call in self.run([request])]
        for request in requests:
            request.error = self._dialect.ours(error)
        return []

    def outside(self, work: Callable[[Connection], Any]) -> Any:
        """Run `work` on the connection outside of any transaction."""
        connection = self._ready()
        try:
            return work(connection)
        finally:
            connection.rollback()

    def close(self) -> None:
        """Close the connection. Never raises."""
        connection, self._connection = self._connection, None
        if self._turn is not None:
            self._turn.close()
        if connection is not None:
            with contextlib.suppress(Exception):  # a broken file may refuse even this
                connection.close()

    def _ready(self) -> Connection:
        if self.refusal is not None:
            raise self.refusal
        self._heed_others()
        if self._connection is not None:
            return self._connection
        if self._broken is not None and self._monotonic() < self._reopen_at:
            if isinstance(self._dialect.ours(self._broken), StoreCorruptError):
                raise StoreCorruptError("The store is damaged; nothing is written to it.")
            raise StoreBrokenError("The disk of the store failed; it is being checked.")
        if self._away is not None and self._monotonic() < self._reopen_at:
            raise self._away
        self._reopen_at = self._monotonic() + _REOPEN_AFTER_SECONDS
        passed = self.damage.begin_check()
        try:
            self._connection = self._open(self._broken is not None)
            self._dialect.prepare(self._connection)
        except Exception as error:
            ours = self._dialect.ours(error)
            if isinstance(ours, StoreUnavailableError):
                self._away = ours
                self._reopen_at = self._monotonic() + _CONNECT_AFTER_SECONDS
            elif isinstance(ours, StoreCorruptError):
                self._reopen_at = self._monotonic() + _CHECK_AFTER_SECONDS
                self._tell(damaged=True)
                _log.critical("nothing is written: {error}", error=str(ours))
            raise
        if self._broken is not None:
            passed()
            self._tell(damaged=False)
            _log.warn("the store was opened again and checked: it is written from here on")
        self._broken = self._away = None
        self.generation += 1
        return self._connection

    def _tell(self, damaged: bool) -> None:
        if self._turn is not None:
            self._turn.tell(damaged)

    def _heed_others(self) -> None:
        """Where a look found that damage spreads, here or in another process: check at once."""
        met, self.damage.spreading = self.damage.spreading, None
        if self._broken is not None:
            return
        if met is None and self._turn is not None and self._turn.is_of_damaged:
            met = StoreCorruptError("The store is damaged, as another process has found.")
        if met is not None:
            self._abandon(met)
            self._reopen_at = self._monotonic()

    def _make_room(self) -> bool:
        """Once a second where it does not help: not for each request that does not fit."""
        now = self._monotonic()
        if self._connection is None or now < self._room_at:
            return False
        self._room_at = now + _ROOM_AFTER_SECONDS
        return self._dialect.make_room(self._connection)

    def _settle_doubt(
        self, requests: Sequence[Request], lost: _LostInCommitError
    ) -> list[Callable[[], None]]:
        """Ask the server, when it is back, whether the transaction came to its commit."""
        until = self._monotonic() + _DOUBT_SECONDS

        def was_committed(connection: Connection) -> bool:
            return self._dialect.was_committed(connection, lost.transaction_id)

        while True:
            try:
                return lost.after if self.outside(was_committed) else self.run(requests)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is still in doubt
                self._abandon(error)
            if self._monotonic() >= until:
                break
            self._pause(_ASK_SECONDS)
        for request in requests:
            request.result, request.error = None, request.error or DoubtfulError()
        return []

    def _together(self, requests: Sequence[Request], *, guarded: bool) -> list[Callable[[], None]]:
        """One transaction; `guarded`, each unit stands behind a savepoint, which costs."""
        connection = self._ready()
        self._dialect.begin(connection)
        transaction = Transaction(connection)
        run = self._guarded if guarded else _call
        for unit in _units(requests):
            run(unit, transaction)
        self._dialect.tell(connection, transaction.topics | self._topics)
        transaction_id = self._dialect.transaction_id(connection)
        begun = self._monotonic()
        try:
            connection.commit()
            self.sync_seconds = self._monotonic() - begun
        except Exception as error:
            if transaction_id is None or self._dialect.is_open(connection):
                raise
            raise _LostInCommitError(transaction_id, transaction.after) from error
        return transaction.after

    def _guarded(self, unit: list[Request], transaction: Transaction) -> None:
        """Run one unit behind a savepoint; one that fails by its own fault fails alone."""
        already = len(transaction.after)
        transaction.say("SAVEPOINT unit")
        try:
            _call(unit, transaction)
            transaction.say("RELEASE SAVEPOINT unit")
        except Exception as error:
            stands = self._dialect.in_transaction(transaction.connection)
            if not stands or self._dialect.fault(error) is not Fault.REQUEST:
                raise
            transaction.say("ROLLBACK TO SAVEPOINT unit")
            transaction.say("RELEASE SAVEPOINT unit")
            del transaction.after[already:]
            if len(unit) == 1:
                unit[0].error = self._dialect.ours(error)
            else:
                for request in unit:
                    self._guarded([request], transaction)

    def _abandon(self, error: Exception) -> Fault:
        """After a failed transaction: nothing of it stands. What the error means."""
        fault = self._dialect.fault(error)
        if isinstance(error, StoreBrokenError):
            fault = Fault.BROKEN
        elif self._connection is None and fault is Fault.REQUEST:
            fault = Fault.UNAVAILABLE  # `_ready` itself refused
        if fault is Fault.BROKEN:
            if self._broken is None:
                self._reopen_at = self._monotonic() + _REOPEN_AFTER_SECONDS
                text = str(self._dialect.ours(error))
                _log.critical("nothing is written until the store was checked: {error}", error=text)
            self._broken = error
            self.close()
        elif self._connection is not None:
            try:
                self._connection.rollback()
            except Exception:  # noqa: BLE001 - a connection that cannot roll back is of no use
                self.close()
        if self._connection is not None and not self._dialect.is_open(self._connection):
            self.close()
        return fault


def _units(requests: Sequence[Request]) -> list[list[Request]]:
    """Requests in their order; those of one grouped function stand together at the first's place.

    Requests that wait at the same time have no order among each other: who needs one awaits.
    """
    units: list[list[Request]] = []
    groups: dict[Any, list[Request]] = {}
    for request in requests:
        if request.item is None:
            units.append([request])
        elif request.work in groups:
            groups[request.work].append(request)
        else:
            groups[request.work] = unit = [request]
            units.append(unit)
    return units


def _call(unit: list[Request], transaction: Transaction) -> None:
    first = unit[0]
    if first.item is None:
        first.result = first.work(transaction)
        return
    results = first.work(transaction, [request.item for request in unit])
    for request, result in zip(unit, results, strict=True):
        request.result = result
