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
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar, TypeVarTuple

from sqlalchemy import Connection
from twisted.internet.defer import Deferred, fail, succeed

from smtpplus.ports import IClock
from smtpplus.store.commits import Committer, Request, Transaction
from smtpplus.store.dialects import StoreDialect, disk_error
from smtpplus.store.reads import OpenReader, Reads
from smtpplus.store.write_link import WriteLink
from smtpplus.store.write_talk import Work
from smtpplus.values.errors import SmtpplusError, StoreUnavailableError

__all__ = ["InlineTransactions", "ThreadedTransactions", "Transactions", "Watched"]

T = TypeVar("T")
I = TypeVar("I")  # noqa: E741 - an item
A = TypeVarTuple("A")

_MOST_TOGETHER = 256  # requests in one commit: what a crash or a lock can hold up
# To begin and to end a commit costs the same for one request as for ten: where the last one had so
# many, the next waits a little for more. A lone message never waits.
_BUSY_FROM = 3
_GATHER_SECONDS = 0.002
_READERS = 3
_FILE_THREADS = 4

_Task: TypeAlias = "tuple[Callable[[], Any], Deferred[Any] | None]"


class Transactions(Protocol):
    """What the store's parts ask for."""

    dialect: StoreDialect

    def write(self, work: Callable[[Transaction], T]) -> Deferred[T]:
        """Run `work` in a transaction; it may run twice."""

    def join(
        self,
        work: Callable[[Transaction, Sequence[I]], Sequence[T]],
        item: I,
    ) -> Deferred[T]:
        """As `write`, but `work` gets all items that wait, in one call, and answers of each."""

    def read(self, work: Callable[[Connection], T]) -> Deferred[T]:
        """Run `work` on a snapshot; see `Reads.run`."""

    def outside(self, work: Callable[[Connection], T]) -> Deferred[T]:
        """Run `work` on the writer's connection between two transactions."""

    def in_files(self, work: Callable[[*A], T], *arguments: *A) -> Deferred[T]:
        """Run blocking file work; OSError becomes an error of ours."""

    def alone(self, work: Callable[[Transaction], T]) -> T:
        """Blocking, from file work: a transaction of its own, beside the writer's."""


class Watched(Protocol):
    """Something to be followed in a thread of its own. All block but `interrupt`."""

    def open(self) -> None:
        """Begin. Raises what keeps it from beginning."""

    def wait(self) -> Collection[str]:
        """What was noticed, a while later at the latest. Never raises: it mends itself."""

    def interrupt(self) -> None:
        """From another thread: let `wait` return at once."""

    def close(self) -> None:
        """End."""


class _Alone:
    """One connection per thread that writes beside the writer, opened when first asked for."""

    def __init__(self, committer: Callable[[], Committer]) -> None:
        self._make = committer
        self._own = threading.local()

    def run(self, work: Callable[[Transaction], T]) -> T:
        """`work`'s result, once it is committed."""
        committer: Committer | None = getattr(self._own, "committer", None)
        if committer is None:
            committer = self._own.committer = self._make()
        request = Request(work)
        for call in committer.run([request]):
            _quietly(call)
        if request.error is not None:
            raise request.error
        result: T = request.result
        return result

    def close(self) -> None:
        """Close this thread's connection."""
        committer: Committer | None = getattr(self._own, "committer", None)
        if committer is not None:
            committer.close()


def _file_work(work: Callable[[*A], T], *arguments: *A) -> T:
    try:
        return work(*arguments)
    except OSError as error:
        raise disk_error(error) from error


class InlineTransactions:
    """Everything in the calling thread; every answer has fired when it is given."""

    def __init__(
        self, committer: Callable[[], Committer], open_reader: OpenReader, dialect: StoreDialect
    ) -> None:
        self.dialect = dialect
        self._committer = committer()
        self._alone = _Alone(committer)
        self._reads = Reads(open_reader, self._committer)

    @property
    def trouble(self) -> str:
        """See `Committer.trouble`."""
        return self._committer.trouble

    def start(self) -> None:
        """Nothing to start."""

    def stop(self) -> Deferred[None]:
        """Close the connections."""
        self._reads.close()
        self._alone.close()
        self._committer.close()
        return succeed(None)

    def write(self, work: Callable[[Transaction], T]) -> Deferred[T]:
        """At once."""
        return self._run(Request(work))

    def join(
        self,
        work: Callable[[Transaction, Sequence[I]], Sequence[T]],
        item: I,
    ) -> Deferred[T]:
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

    def alone(self, work: Callable[[Transaction], T]) -> T:
        """At once, on a second connection."""
        return self._alone.run(work)

    def _run(self, request: Request) -> Deferred[Any]:
        for call in self._committer.run([request]):
            _quietly(call)
        return fail(request.error) if request.error is not None else succeed(request.result)


class ThreadedTransactions:
    """One writer thread, a few readers, a few for files. All methods in the reactor's thread.

    Where damage was met, one more for a while, which looks at the whole store.
    """

    def __init__(
        self,
        reactor: Any,
        committer: Callable[[], Committer],
        open_reader: OpenReader,
        dialect: StoreDialect,
    ) -> None:
        self.dialect = dialect
        self._reactor = reactor  # IReactorFromThreads, IReactorTime
        self._committer = committer()
        self._alone = _Alone(committer)
        self._open_reader = open_reader
        self._writes: queue.SimpleQueue[list[Request] | _Task | None] = queue.SimpleQueue()
        self._turn: list[Request] = []  # asked for since the reactor last looked
        self._link: WriteLink | None = None  # to who writes for all processes
        self._reads: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._files: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._threads: dict[str, list[threading.Thread]] = {
            "write": [],
            "read": [],
            "file": [],
            "watch": [],
        }
        self._watched: Watched | None = None  # until it closes itself
        self._looking = threading.Lock()  # one at a time
        self._ending = threading.Lock()
        self._closing = False
        self._hurry = threading.Event()  # nobody is waited for any more
        self.observe: Callable[[int, float, float], None] | None = (
            None  # see `Store.observe_commits`
        )

    def ask_writer(self, clock: IClock, data_dir: Path, works: Mapping[str, Work]) -> None:
        """Before `start`: let the writer of `data_dir`, while there is one, write `works`."""
        self._link = WriteLink(
            self._reactor, clock, data_dir, works, self._writes.put, _fire, self._observed
        )

    @property
    def trouble(self) -> str:
        """See `Committer.trouble`."""
        return self._committer.trouble

    def start(self) -> None:
        """Start the threads; what was asked before runs now."""
        self._add("write", self._write_until_stopped)
        if self._link is not None:
            self._link.start()
        for _ in range(_READERS):
            self._add("read", self._read_until_stopped)
        for _ in range(_FILE_THREADS):
            self._add("file", self._files_until_stopped)

    async def stop(self) -> None:
        """Finish what was asked, then end the threads and close the connections."""
        self._closing = True
        self._hurry.set()
        self._end_turn()
        if self._link is not None:
            idle: Deferred[None] = Deferred()
            self._link.stop(lambda: idle.callback(None))
            await idle
        with self._ending:
            if self._watched is not None:
                self._watched.interrupt()
        for name, tasks in (
            ("watch", None),
            ("write", self._writes),
            ("read", self._reads),
            ("file", self._files),
        ):
            threads = self._threads[name]
            ended: list[Deferred[None]] = [Deferred() for _ in threads]
            if tasks is not None:
                for _ in threads:
                    tasks.put(None)
            for thread, done in zip(threads, ended, strict=True):
                self._when_ended(thread, done)
            for done in ended:
                await done
            threads.clear()

    def write(self, work: Callable[[Transaction], T]) -> Deferred[T]:
        """With the next group."""
        return self._ask_writer(Request(work, None, Deferred()))

    def join(
        self,
        work: Callable[[Transaction, Sequence[I]], Sequence[T]],
        item: I,
    ) -> Deferred[T]:
        """With the next group, and all that wait for the same `work`."""
        return self._ask_writer(Request(work, item, Deferred()))

    def read(self, work: Callable[[Connection], T]) -> Deferred[T]:
        """In a reader thread."""
        if self._closing:
            return fail(_closed())
        answer: Deferred[T] = Deferred()
        self._reads.put(Request(work, None, answer))
        return answer

    def outside(self, work: Callable[[Connection], T]) -> Deferred[T]:
        """In the writer thread, before the next group."""
        if self._closing:
            return fail(_closed())
        answer: Deferred[T] = Deferred()
        self._end_turn()
        self._writes.put((lambda: self._committer.outside(work), answer))
        return answer

    def in_files(self, work: Callable[[*A], T], *arguments: *A) -> Deferred[T]:
        """In a file thread."""
        if self._closing:
            return fail(_closed())
        answer: Deferred[T] = Deferred()
        self._files.put((lambda: _file_work(work, *arguments), answer))
        return answer

    def alone(self, work: Callable[[Transaction], T]) -> T:
        """In the file thread that asks."""
        return self._alone.run(work)

    def watch(self, watched: Watched, noticed: Callable[[Collection[str]], None]) -> Deferred[None]:
        """Follow `watched` in a thread of its own until `stop`; fires once it is open."""
        opened: Deferred[None] = Deferred()
        self._watched = watched
        self._add("watch", lambda: self._watch(watched, noticed, opened))
        return opened

    def refuse(self, error: SmtpplusError) -> None:
        """Write nothing any more: each request fails with `error`."""
        self._committer.refusal = error

    def _ask_writer(self, request: Request) -> Deferred[Any]:
        """What is asked for in one turn of the reactor comes to the writer together.

        A writer that woke for the first of them would commit that one alone, and take the
        interpreter from those who bring the others.
        """
        if self._closing:
            return fail(_closed())
        if not self._turn:
            self._reactor.callLater(0, self._end_turn)
        self._turn.append(request)
        answer: Deferred[Any] = request.answer
        return answer

    def _end_turn(self) -> None:
        turn, self._turn = self._turn, []
        link = self._link
        if link is not None and link.is_up and not self._committer.is_damaged:
            turn = link.ask(turn)
        if turn:
            self._writes.put(turn)

    def _observed(self, requests: int, took: float, sync: float) -> None:
        if self.observe is not None:
            self.observe(requests, took, sync)

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
        last = 0  # how many the last commit had
        while (first := self._writes.get()) is not None:
            if last >= _BUSY_FROM:
                self._hurry.wait(_GATHER_SECONDS)
            batch: list[Request] = []
            peeks: list[_Task] = []
            stopping = self._gather(first, batch, peeks)
            waited = self._committer.take_turn() is None  # else each request is told
            if not stopping:
                stopping = self._gather([], batch, peeks)
            for task, answer in peeks:
                self._settle_task(task, answer)
            last = len(batch)
            if batch:
                begun = time.perf_counter()
                self._committer.sync_seconds = 0.0
                after = self._committer.run(batch)
                took = time.perf_counter() - begun
                self._observed(len(batch), took, self._committer.sync_seconds)
                for call in after:
                    self._files.put((call, None))
                self._reactor.callFromThread(_fire, batch)
            if waited:
                self._committer.end_turn()
            if stopping:
                break
        self._committer.close()

    def _gather(
        self, first: list[Request] | _Task, batch: list[Request], peeks: list[_Task]
    ) -> bool:
        """Add what was asked for so far, `first` at its head; True: nothing more is to come."""
        waiting: list[Request] | _Task | None = first
        while waiting is not None:
            if isinstance(waiting, list):
                batch += waiting
            else:
                peeks.append(waiting)
            if len(batch) >= _MOST_TOGETHER:
                return False
            try:
                waiting = self._writes.get_nowait()
            except queue.Empty:
                return False
        return True

    # ------------------------------------------------ in the other threads

    def _read_until_stopped(self) -> None:
        reads = Reads(self._open_reader, self._committer)
        while (request := self._reads.get()) is not None:
            try:
                request.result = reads.run(request.work, self.dialect)
            except Exception as error:  # noqa: BLE001 - it arrives where it was asked for
                request.error = error
            self._reactor.callFromThread(_fire, [request])
            if self._committer.damage.is_due:
                self._start_look()
        reads.close()

    def _start_look(self) -> None:
        """In a thread that nobody waits for: it reads the whole store, which may take minutes."""
        if self._committer.is_broken or not self._looking.acquire(blocking=False):
            return  # it is checked as it is

        def look() -> None:
            try:
                self._committer.damage.look()
            finally:
                self._looking.release()

        try:
            threading.Thread(target=look, name="smtpplus store look", daemon=True).start()
        except RuntimeError:  # there is no room for a thread: after the next read, then
            self._looking.release()

    def _files_until_stopped(self) -> None:
        while (task := self._files.get()) is not None:
            self._settle_task(*task)
        self._alone.close()

    def _watch(
        self, watched: Watched, noticed: Callable[[Collection[str]], None], opened: Deferred[None]
    ) -> None:
        try:
            watched.open()
        except Exception as error:  # noqa: BLE001 - it arrives where it was asked for
            self._end_watch(watched)
            self._reactor.callFromThread(opened.errback, self.dialect.ours(error))
            return
        self._reactor.callFromThread(opened.callback, None)
        while not self._closing:
            topics = watched.wait()
            if topics and not self._closing:
                self._reactor.callFromThread(noticed, topics)
        self._end_watch(watched)

    def _end_watch(self, watched: Watched) -> None:
        with self._ending:  # what is closed is not interrupted any more
            self._watched = None
            watched.close()

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
