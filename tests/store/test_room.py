"""How much a disk that the queue itself has filled has left for new mail (D6)."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.store.room import DiskRoom
from smtpplus.values.errors import StoreFullError

_KIB = 1 << 10


class ADatabase:
    """A file of SQLite on a small disk: octets."""

    checkpoint_octets = 256 * _KIB
    reserve_wanted = 512 * _KIB
    reserve_octets = 0
    reserve_is = ""

    def __init__(self, spare: int, log: int, *, begins_anew: bool) -> None:
        self.dialect = self
        self.log_octets = log
        self._spare = spare
        self._begins_anew = begins_anew

    def make_room(self, _: Any) -> bool:
        return self._begins_anew

    def spare_octets(self, _: Any) -> int:
        return self._spare

    def keep_reserve(self) -> None:
        self.reserve_is = "kept"

    def give_reserve_up(self) -> None:
        self.reserve_is = "given up"


class ARoom(DiskRoom):
    """`free` octets beside the file."""

    free = 300 * _KIB

    @property
    def _free(self) -> int:
        return self.free


class RoomTests(SynchronousTestCase):
    """All of the disk's room is inside the file, as after the delivery of what filled it."""

    def room(self, spare: int, log: int = 512 * _KIB, *, begins_anew: bool = True) -> ARoom:
        self.database = ADatabase(spare, log, begins_anew=begins_anew)
        room = ARoom(self.database)  # type: ignore[arg-type]
        room.make_room(None)  # type: ignore[arg-type]
        return room

    def test_D6_room_inside_the_file_takes_new_mail_where_little_is_left_beside_it(self) -> None:
        room = self.room(6_000 * _KIB)
        self.assertGreater(room.left(), 98 * _KIB)  # one and a half of the smallest maximum
        room.check(2, 20 * _KIB)

    def test_D6_a_log_that_cannot_begin_anew_has_no_room(self) -> None:
        room = self.room(6_000 * _KIB, begins_anew=False)
        self.assertLess(room.left(), 98 * _KIB)
        self.assertRaises(StoreFullError, room.check, 2, 20 * _KIB)

    def test_D6_without_room_inside_nothing_is_taken(self) -> None:
        room = self.room(0)
        self.assertLess(room.left(), 98 * _KIB)
        self.assertRaises(StoreFullError, room.check, 1, 10 * _KIB)

    def test_D6_the_reserve_gives_way_to_room_inside_the_file_and_only_to_that(self) -> None:
        self.room(6_000 * _KIB)
        self.assertEqual(self.database.reserve_is, "given up")
        for spare, begins_anew in ((511 * _KIB, True), (6_000 * _KIB, False)):
            self.room(spare, begins_anew=begins_anew)
            self.assertEqual(self.database.reserve_is, "kept")
        self.database = ADatabase(6_000 * _KIB, 0, begins_anew=True)
        room = ARoom(self.database)  # type: ignore[arg-type]
        for free, is_then in ((1_023, "given up"), (1_535, "given up"), (2_048, "kept")):
            room.free = free * _KIB
            room.make_room(None)  # type: ignore[arg-type]
            self.assertEqual(self.database.reserve_is, is_then, free)
