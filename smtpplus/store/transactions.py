"""Where transactions run: the only file of the store with threads.

Two ways with one face. `ThreadedTransactions`: one writer thread that commits in groups, a few
reader threads with their own connections, a few threads for files; results arrive in the
reactor, one call per group. `InlineTransactions`: everything at once in the calling thread, for
the command line and for tests; what it answers has already fired.

Guarantees: an answer to `write` or `join` fires after the commit that holds it; reads see one
moment and never lock a writer; a cancelled answer does not undo its request. Errors are those
of `smtpplus.values.errors`, or what the function itself raised.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar, TypeVarTuple

from sqlalchemy import Connection
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorFromThreads

from smtpplus.store.commits import Committer, Request, Transaction
from smtpplus.store.dialects import StoreDialect, disk_error
from smtpplus.values.errors import StoreUnavailableError

__all__ = ["InlineTransactions", "ThreadedTransactions", "Transactions"]

T = TypeVar("T")
I = TypeVar("I")  # noqa: E741 - an item
A = TypeVarTuple("A")

_MOST_TOGETHER = 256  # requests in one commit: what a crash or a lock can hold up
_READERS = 3
_FILE_THREADS = 4

_Task: TypeAlias = "tuple[Callable[[], Any], Deferred[Any] | None]"
_OpenReader: TypeAlias = Callable[[], Connection]


class Transactions(Protocol):
    """What the store's parts ask for."""

    dialect: StoreDialect

    def write(self, work: Callable[[Transaction], T]) -> Deferred[T]:
        """Run `work` in a transaction; it may run twice."""

    def join(self, work: Callable[[Transaction, Sequence[I]], None], item: I) -> Deferred[None]:
        """As `write`, but `work` gets all the items that wait, in one call."""

    def read(self, work: Callable[[Connection], T]) -> Deferred[T]:
        """Run `work` on a snapshot."""

    def outside(self, work: Callable[[Connection], T]) -> Deferred[T]:
        """Run `work` on the writer's connection between two transactions."""

    def in_files(self, work: Callable[[*A], T], *arguments: *A) -> Deferred[T]:
        """Run blocking file work; OSError becomes an error of ours."""


class _Reads:
    """One reader: its connection, reopened when the writer had to reopen."""

    def __init__(self, open_reader: _OpenReader, committer: Committer) -> None:
        self._open = open_reader
        self._committer = committer
        self._connection: Connection | None = None
        self._generation = -1

    def run(self, work: Callable[[Connection], T], dialect: StoreDialect) -> T:
        """`work`'s result. Raises errors of ours, or what `work` raised."""
        generation = self._committer.generation
        if generation != self._generation:
            self.close()
            self._generation = generation
        try:
            if self._connection is None:
                self._connection = self._open()
            dialect.begin_read(self._connection)
            try:
                return work(self._connection)
            finally:
                self._connection.rollback()
        except Exception as error:
            ours = dialect.ours(error)
            if ours is error:
                raise
            self.close()
            raise ours from error

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _file_work(work: Callable[[*A], T], *arguments: *A) -> T:
    try:
        return work(*arguments)
    except OSError as error:
        raise disk_error(error) from error


class InlineTransactions:
    """Everything in the calling thread; every answer has fired when it is given."""

    def __init__(
        self, committer: Committer, open_reader: _OpenReader, dialect: StoreDialect
    ) -> None:
        self.dialect = dialect
        self._committer = committer
        self._reads = _Reads(open_reader, committer)

    def start(self) -> None:
        """Nothing to start."""

    def stop(self) -> Deferred[None]:
        """Close the connections."""
        self._reads.close()
        self._committer.close()
        return succeed(None)

    def write(self, work: Callable[[Transaction], T]) -> Deferred[T]:
        """At once."""
        return self._run(Request(work))

    def join(self, work: Callable[[Transaction, Sequence[I]], None], item: I) -> Deferred[None]:
        """At once, alone."""
        return self._run(Request(work, item))

    def read(self, work: Callable[[Connection], T]) -> Deferred[T]:
        """At once."""
        return _now(self._reads.run, work, self.dialect)

    def outside(self, work: Callable[[Connection], T]) -> Deferred[T]:
        """At once."""
        return _now(self._committer.outside, work)

    def in_files(self, work: Callable[[*A], T], *arguments: *A) -> Deferred[T]:
        """At once."""
        return _now(_file_work, work, *arguments)

    def _run(self, request: Request) -> Deferred[Any]:
        for call in self._committer.run([request]):
            _quietly(call)
        return fail(request.error) if request.error is not None else succeed(request.result)


class ThreadedTransactions:
    """One writer thread, a few readers, a few for files. All methods in the reactor's thread."""

    def __init__(
        self,
        reactor: IReactorFromThreads,
        committer: Committer,
        open_reader: _OpenReader,
        dialect: StoreDialect,
    ) -> None:
        self.dialect = dialect
        self._reactor = reactor
        self._committer = committer
        self._open_reader = open_reader
        self._writes: queue.SimpleQueue[Request | _Task | None] = queue.SimpleQueue()
        self._reads: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._files: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._threads: dict[str, list[threading.Thread]] = {"write": [], "read": [], "file": []}
        self._closing = False

    def start(self) -> None:
        """Start the threads; what was asked before runs now."""
        self._add("write", self._write_until_stopped)
        for _ in range(_READERS):
            self._add("read", self._read_until_stopped)
        for _ in range(_FILE_THREADS):
            self._add("file", self._files_until_stopped)

    async def stop(self) -> None:
        """Finish what was asked, then end the threads and close the connections."""
        self._closing = True
        for name, tasks in (("write", self._writes), ("read", self._reads), ("file", self._files)):
            threads = self._threads[name]
            ended: list[Deferred[None]] = [Deferred() for _ in threads]
            for _ in threads:
                tasks.put(None)
            for thread, done in zip(threads, ended, strict=True):
                self._when_ended(thread, done)
            for done in ended:
                await done
            threads.clear()

    def write(self, work: Callable[[Transaction], T]) -> Deferred[T]:
        """With the next group."""
        return self._ask(self._writes, Request(work, None, Deferred()))

    def join(self, work: Callable[[Transaction, Sequence[I]], None], item: I) -> Deferred[None]:
        """With the next group, and all that wait for the same `work`."""
        return self._ask(self._writes, Request(work, item, Deferred()))

    def read(self, work: Callable[[Connection], T]) -> Deferred[T]:
        """In a reader thread."""
        return self._ask(self._reads, Request(work, None, Deferred()))

    def outside(self, work: Callable[[Connection], T]) -> Deferred[T]:
        """In the writer thread, before the next group."""
        if self._closing:
            return fail(_closed())
        answer: Deferred[T] = Deferred()
        self._writes.put((lambda: self._committer.outside(work), answer))
        return answer

    def in_files(self, work: Callable[[*A], T], *arguments: *A) -> Deferred[T]:
        """In a file thread."""
        if self._closing:
            return fail(_closed())
        answer: Deferred[T] = Deferred()
        self._files.put((lambda: _file_work(work, *arguments), answer))
        return answer

    def _ask(self, tasks: queue.SimpleQueue[Any], request: Request) -> Deferred[Any]:
        if self._closing:
            return fail(_closed())
        tasks.put(request)
        answer: Deferred[Any] = request.answer
        return answer

    def _add(self, name: str, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, name=f"smtpplus store {name}", daemon=True)
        self._threads[name].append(thread)
        thread.start()

    def _when_ended(self, thread: threading.Thread, done: Deferred[None]) -> None:
        def wait() -> None:
            thread.join()
            self._reactor.callFromThread(done.callback, None)

        threading.Thread(target=wait, name="smtpplus store stop", daemon=True).start()

    # ------------------------------------------------ in the writer thread

    def _write_until_stopped(self) -> None:
        while (first := self._writes.get()) is not None:
            batch, peeks, stopping = self._gather(first)
            for task, answer in peeks:
                self._settle_task(task, answer)
            if batch:
                after = self._committer.run(batch)
                self._reactor.callFromThread(_fire, batch)
                for call in after:
                    self._files.put((call, None))
            if stopping:
                break
        self._committer.close()

    def _gather(self, first: Request | _Task) -> tuple[list[Request], list[_Task], bool]:
        batch: list[Request] = []
        peeks: list[_Task] = []
        waiting: Request | _Task | None = first
        while waiting is not None:
            if isinstance(waiting, Request):
                batch.append(waiting)
            else:
                peeks.append(waiting)
            if len(batch) >= _MOST_TOGETHER:
                return batch, peeks, False
            try:
                waiting = self._writes.get_nowait()
            except queue.Empty:
                return batch, peeks, False
        return batch, peeks, True

    # ------------------------------------------------ in the other threads

    def _read_until_stopped(self) -> None:
        reads = _Reads(self._open_reader, self._committer)
        while (request := self._reads.get()) is not None:
            try:
                request.result = reads.run(request.work, self.dialect)
            except Exception as error:  # noqa: BLE001 - it arrives where it was asked for
                request.error = error
            self._reactor.callFromThread(_fire, [request])
        reads.close()

    def _files_until_stopped(self) -> None:
        while (task := self._files.get()) is not None:
            self._settle_task(*task)

    def _settle_task(self, task: Callable[[], Any], answer: Deferred[Any] | None) -> None:
        if answer is None:
            _quietly(task)
            return
        request = Request(task, None, answer)
        try:
            request.result = task()
        except Exception as error:  # noqa: BLE001 - it arrives where it was asked for
            request.error = self.dialect.ours(error)
        self._reactor.callFromThread(_fire, [request])


def _fire(requests: Sequence[Request]) -> None:
    """In the reactor: hand out results. A cancelled Deferred takes its result and drops it."""
    for request in requests:
        if request.error is None:
            request.answer.callback(request.result)
        else:
            request.answer.errback(request.error)


def _now(work: Callable[..., T], *arguments: Any) -> Deferred[T]:
    try:
        return succeed(work(*arguments))
    except Exception as error:  # noqa: BLE001 - it arrives where it was asked for
        return fail(error)


def _quietly(call: Callable[[], Any]) -> None:
    """What follows a commit is tidying: where it fails, the next start tidies."""
    with contextlib.suppress(OSError):
        call()


def _closed() -> StoreUnavailableError:
    return StoreUnavailableError("The store is closed.")
