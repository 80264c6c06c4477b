"""The one that writes for all processes of a service: what they ask for comes as rows.

Guarantees: each request is answered after the commit that holds it; what waits when a commit
begins is in it, whoever asked. A process that goes away leaves nothing behind but what it asked
for before; one that stands still holds up nobody. Whoever is to `tell` hears why the store does not
take what is asked, once a second while it does not, and that it does again; who is to `hear` gets
each line that comes on `control`. Blocks, in one thread; it ends when the first
process closes `control`, once all others are gone, too.
"""

from __future__ import annotations

import contextlib
import os
import select
import selectors
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from smtpplus.store.accepts import Accepts
from smtpplus.store.commits import Committer, Request, Transaction
from smtpplus.store.content_files import QUEUE_NAME, ContentFiles
from smtpplus.store.dialects import our_errors
from smtpplus.store.facts import FactSql
from smtpplus.store.nodes import enrolled, started
from smtpplus.store.process_lock import WriteTurn
from smtpplus.store.recipient_counts import RecipientSql
from smtpplus.store.room import DiskRoom
from smtpplus.store.settlements import Settlements
from smtpplus.store.sqlite import SqliteFile
from smtpplus.store.write_talk import (
    SOCKET_NAME,
    Asked,
    Commit,
    Frames,
    Work,
    error_text,
    frame,
    works_of,
)
from smtpplus.values.errors import STORE_ERRORS

__all__ = ["WriteService", "listening", "open_write_service"]

_MOST_TOGETHER = 256  # requests in one commit: what a crash or a lock can hold up
_PIECE = 256 * 1024
_ROOM_SECONDS = 1.0
# Nobody waits for an outcome's commit, but it costs what a message's does: where one is just over,
# outcomes go with the next message's.
_PATIENT = frozenset({"settle"})
_REST_SECONDS = 0.01
_TELL_SECONDS = 1.0

_decode = msgspec.msgpack.Decoder(list[Asked]).decode


def listening(data_dir: Path) -> socket.socket:
    """The socket of the writer of `data_dir`, instead of one that was left behind."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    folder = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    before = os.umask(0o177)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(SOCKET_NAME, dir_fd=folder)
        made.bind(f"/proc/self/fd/{folder}/{SOCKET_NAME}")
        made.listen()
    except BaseException:
        made.close()
        raise
    finally:
        os.umask(before)
        os.close(folder)
    made.setblocking(False)
    return made


def open_write_service(
    url: str,
    data_dir: Path,
    node_name: str,
    control: int,
    tell: Callable[[str], None],
    hear: Callable[[bytes], None],
) -> WriteService:
    """The writer of a store of SQLite that is there, as the node `node_name`; raises as the store."""
    database = SqliteFile(url)
    dialect, room = database.dialect, DiskRoom(database)
    with our_errors(dialect):
        connection = database.open_writer()
        try:
            node = enrolled(connection, dialect, node_name, time.time())
        finally:
            connection.close()
        listener = listening(data_dir)
    files = ContentFiles(data_dir / QUEUE_NAME)

    def remove(transaction: Transaction, message_id: int) -> None:
        transaction.after_commit(lambda: files.remove(message_id))

    facts = FactSql(dialect, node.fact_ids, node.number)
    recipients = RecipientSql(dialect, node.fact_ids)
    accepts = Accepts(dialect, facts, recipients, node.number, remove, room)
    works = works_of(accepts, Settlements(dialect, facts, recipients, accepts, remove))
    committer = Committer(database.open_writer, dialect, time.monotonic, turn=WriteTurn(data_dir))
    committer.run([Request(lambda tx: started(tx, node.number, time.time()))])
    return WriteService(listener, control, committer, works, room, tell, hear)


class _Asking:
    """A process that asks."""

    __slots__ = ("answers", "frames", "socket", "unsent")

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.frames = Frames()
        self.answers: list[tuple[int, Any, Any]] = []  # of the commit that is under way
        self.unsent = b""


class WriteService:
    """Serves until `control` is at its end, and nobody asks any more."""

    def __init__(
        self,
        listener: socket.socket,
        control: int,
        committer: Committer,
        works: Mapping[str, Work],
        room: DiskRoom,
        tell: Callable[[str], None],
        hear: Callable[[bytes], None],
    ) -> None:
        self._listener = listener
        self._control = control
        self._committer = committer
        self._writes = {name: work.write for name, work in works.items()}
        self._rows = {
            name: msgspec.msgpack.Decoder(work.rows).decode for name, work in works.items()
        }
        self._room = room
        self._room_at = 0.0
        self._tell = tell
        self._hear = hear
        self._heard = b""  # a line that is not whole
        self._trouble = ""  # as it was told last
        self._told_at = 0.0
        self._selector = selectors.DefaultSelector()
        self._waiting: list[Request] = []  # their answer is whom to tell, and their number
        self._urgent = False
        self._rested_at = 0.0  # from when on a commit of outcomes alone may begin
        self._asking = 0
        self._ending = False
        self._selector.register(listener, selectors.EVENT_READ, self._accept)
        self._selector.register(control, selectors.EVENT_READ, self._listen)

    def run(self) -> None:
        """Serve."""
        while not self._ending or self._asking:
            self.turn(self._patience())
        self.close()

    def turn(self, patience: float | None) -> None:
        """Wait so many seconds at most for what comes, None for ever; take it, write what is due."""
        for key, events in self._selector.select(patience):
            if isinstance(key.data, _Asking):
                self._serve(key.data, events)
            else:
                key.data()
        if self._waiting and self._patience() == 0:
            self._commit()
            self._rested_at = time.monotonic() + _REST_SECONDS
        elif self._committer.is_broken and time.monotonic() >= self._told_at + _TELL_SECONDS:
            self._try_again()

    def close(self) -> None:
        """Close everything."""
        for key in list(self._selector.get_map().values()):
            if isinstance(key.data, _Asking):
                self._let_go(key.data)
        self._selector.close()
        self._listener.close()
        self._committer.close()

    def _patience(self) -> float | None:
        """How long to wait for requests: an outcome waits for company, a message for nobody."""
        if not self._waiting:
            return _TELL_SECONDS if self._committer.is_broken else None
        if self._urgent:
            return 0
        return max(self._rested_at - time.monotonic(), 0)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            connection, _ = self._listener.accept()
            connection.setblocking(False)
            self._selector.register(connection, selectors.EVENT_READ, _Asking(connection))
            self._asking += 1

    def _listen(self) -> None:
        octets = os.read(self._control, 512)
        *lines, self._heard = (self._heard + octets).split(b"\n")
        for line in lines:
            self._hear(line)
        if not octets:
            self._selector.unregister(self._control)
            self._ending = True

    def _serve(self, asking: _Asking, events: int) -> None:
        try:
            if events & selectors.EVENT_WRITE:
                self._send(asking)
            if events & selectors.EVENT_READ:
                octets = asking.socket.recv(_PIECE)
                if not octets:
                    raise ConnectionError
                for one in asking.frames.take(octets):
                    self._take(asking, one)
        except BlockingIOError:
            pass
        except (OSError, msgspec.MsgspecError, KeyError):
            self._let_go(asking)

    def _take(self, asking: _Asking, octets: bytes) -> None:
        for number, name, rows in _decode(octets):
            self._urgent = self._urgent or name not in _PATIENT
            self._waiting.append(
                Request(self._writes[name], self._rows[name](rows), (asking, number))
            )

    def _let_go(self, asking: _Asking) -> None:
        """Who is gone gets no answer; where it lives, it writes again what was not answered."""
        self._waiting = [one for one in self._waiting if one.answer[0] is not asking]
        self._selector.unregister(asking.socket)
        asking.socket.close()
        self._asking -= 1

    def _commit(self) -> None:
        waits = self._committer.take_turn() is None  # else each request is told
        try:
            self._let_go_of_the_dead()
            batch, self._waiting = self._waiting[:_MOST_TOGETHER], self._waiting[_MOST_TOGETHER:]
            self._urgent = bool(self._waiting)
            if batch:
                self._write(batch)
        finally:
            if waits:
                self._committer.end_turn()

    def _let_go_of_the_dead(self) -> None:
        """Before a commit, once it is our turn: who died gets nothing written any more.

        What its successor does first, under its name, is to give back what was leased to it; what
        came after that would be leased for ever.
        """
        for asking in {request.answer[0] for request in self._waiting}:
            end = select.poll()  # seen behind what is still to be read, too
            end.register(asking.socket, select.POLLRDHUP)
            if end.poll(0):
                self._let_go(asking)

    def _write(self, batch: list[Request]) -> None:
        begun = time.perf_counter()
        self._committer.sync_seconds = 0.0
        after = self._committer.run(batch)
        commit: Commit | None = (
            len(batch),
            time.perf_counter() - begun,
            self._committer.sync_seconds,
        )
        asked: dict[_Asking, None] = {}
        for request in batch:
            asking, number = request.answer
            error = None if request.error is None else error_text(request.error)
            asking.answers.append((number, request.result, error))
            asked[asking] = None
        for asking in asked:
            asking.unsent += frame((commit, asking.answers))
            asking.answers = []
            commit = None
            try:
                self._send(asking)
            except OSError:
                self._let_go(asking)
        failed = (one.error for one in batch if isinstance(one.error, STORE_ERRORS))
        self._note(str(next(failed, "")))
        for call in after:
            with contextlib.suppress(OSError):  # the next start of the service tidies
                call()
        if self._room.is_short():
            self._make_room()

    def _try_again(self) -> None:
        """Nobody asks, perhaps because nobody is let in any more: is it well again?"""
        if self._committer.take_turn() is None:
            with contextlib.suppress(Exception):  # it is told below
                self._committer.outside(lambda _: None)
            self._committer.end_turn()
        self._note(self._committer.trouble)

    def _note(self, trouble: str) -> None:
        now = time.monotonic()
        if trouble != self._trouble or (trouble and now >= self._told_at + _TELL_SECONDS):
            self._trouble, self._told_at = trouble, now
            self._tell(trouble)

    def _send(self, asking: _Asking) -> None:
        with contextlib.suppress(BlockingIOError):
            asking.unsent = asking.unsent[asking.socket.send(asking.unsent) :]
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if asking.unsent else 0)
        if self._selector.get_key(asking.socket).events != wanted:
            self._selector.modify(asking.socket, wanted, asking)

    def _make_room(self) -> None:
        now = time.monotonic()
        if now < self._room_at:
            return
        self._room_at = now + _ROOM_SECONDS
        with contextlib.suppress(Exception):  # the next commit tells what is wrong
            self._committer.outside(self._room.make_room)
