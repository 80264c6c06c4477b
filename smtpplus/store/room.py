"""Room on the disk for a store of SQLite and its write-ahead log.

The log's pages need room a second time, in the store's file, before the log can be cut off: a disk
that is filled by the log alone could never be emptied by deliveries. So what is accepted has to
leave a reserve: what the log holds beyond the room inside the file, and one more interval of
checkpoints. Most of it is a file, ``reserve``, so that others cannot take it; it is given up when
the log cannot be emptied otherwise, or there is as much room inside the file, and made again when
there is room. Guarantees: deliveries can be
settled on a full disk, whoever has filled it; where mail was delivered, there is room for new mail.
"""

from __future__ import annotations

import os

from sqlalchemy import Connection

from smtpplus.store.sqlite import SqliteFile
from smtpplus.values.errors import StoreFullError

__all__ = ["DiskRoom"]

SHORT_OCTETS = 64 << 20  # free on the disk: from here on it is looked after
_SCARCE, _AMPLE = 2, 4  # free, in reserves: apart, so that none is given up and made in turns
_OF_A_MESSAGE = 64 << 10  # rows and indexes, in pages of the log


class DiskRoom:
    """What is left for `database`."""

    def __init__(self, database: SqliteFile) -> None:
        self._database = database
        self._spare_octets = 0  # inside the file; as of the last `make_room`
        self._log_room = 0  # in the log, which begins anew in the room that it has; likewise

    def left(self) -> int:
        """Octets that may be taken; negative where the reserve is touched already.

        Room inside the file counts for no more than the log has room for: it goes there first.
        """
        free = self._free - self._reserve
        return free + min(self._spare_octets, max(free, 0) + self._log_room)

    def check(self, messages: int, octets: int) -> None:
        """Raise StoreFullError where so many messages of together so many octets are too much."""
        left = self._free - self._reserve + self._log_room
        if left < octets + messages * _OF_A_MESSAGE:
            raise StoreFullError("The disk of the store is full.")

    def is_short(self) -> bool:
        """Should `make_room` be called?"""
        return self._free < SHORT_OCTETS or not self._database.reserve_octets

    def make_room(self, connection: Connection) -> None:
        """On the writer's connection, outside a transaction: let the log begin anew."""
        is_anew = self._database.dialect.make_room(connection)
        self._spare_octets = self._database.spare_octets(connection)
        # A file that the queue has filled has all its room inside once mail was delivered: without
        # the log's own room there would be none beside it for the first new message, for ever.
        room = self._database.log_octets if is_anew else 0
        self._log_room = min(room, self._spare_octets) // 2
        wanted, free = self._database.reserve_wanted, self._free
        has_room_inside = is_anew and self._spare_octets >= wanted
        if not has_room_inside or free >= _AMPLE * wanted:
            self._database.keep_reserve()
        elif free < _SCARCE * wanted:
            # Deliveries made that much room inside, and the file never becomes shorter: what they
            # wrote themselves may be all that is missing beside it, for ever (D6).
            self._database.give_reserve_up()

    @property
    def _free(self) -> int:
        found = os.statvfs(self._database.folder)
        return found.f_bavail * found.f_frsize

    @property
    def _reserve(self) -> int:
        growth = max(self._database.log_octets - self._spare_octets, 0)
        needed = growth + self._database.checkpoint_octets
        return max(needed - self._database.reserve_octets, 0)
