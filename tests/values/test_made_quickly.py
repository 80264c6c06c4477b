"""Values made quickly are what frozen dataclasses are."""

from __future__ import annotations

import copy
import pickle
import unittest
from dataclasses import FrozenInstanceError, dataclass, field, replace
from typing import Any

import msgspec

from smtpplus.values.made_quickly import made_quickly


@made_quickly
@dataclass(frozen=True, slots=True)
class Quick:
    a: int
    b: str = "b"
    c: list[int] = field(default_factory=list)
    d: float = field(default=1.5, kw_only=True)


@dataclass(frozen=True, slots=True)
class Usual:
    a: int
    b: str = "b"
    c: list[int] = field(default_factory=list)
    d: float = field(default=1.5, kw_only=True)


class MadeQuicklyTests(unittest.TestCase):
    def test_is_made_as_others_are(self) -> None:
        for arguments, named in (((1,), {}), ((1, "x"), {"d": 2.0}), ((), {"a": 1, "c": [3]})):
            quick, usual = Quick(*arguments, **named), Usual(*arguments, **named)
            self.assertEqual(repr(quick), repr(usual).replace("Usual", "Quick"))
            self.assertIs(type(quick), Quick)
        self.assertIsNot(Quick(1).c, Quick(1).c)

    def test_refuses_what_others_refuse(self) -> None:
        any_class: Any = Quick
        for arguments, named in (((), {}), ((1, "b", [], 2.0), {}), ((1,), {"e": 1})):
            with self.assertRaises(TypeError):
                any_class(*arguments, **named)

    def test_is_frozen(self) -> None:
        with self.assertRaises(FrozenInstanceError):
            Quick(1).a = 2  # type: ignore[misc]
        with self.assertRaises(FrozenInstanceError):
            del Quick(1).b

    def test_is_compared_copied_and_changed(self) -> None:
        one = Quick(1, c=[2])
        self.assertEqual(one, Quick(1, c=[2]))
        self.assertNotEqual(one, replace(one, a=2))
        self.assertEqual(copy.deepcopy(one), one)
        self.assertEqual(pickle.loads(pickle.dumps(one)), one)
        self.assertEqual(msgspec.json.decode(msgspec.json.encode(one), type=Quick), one)

    def test_needs_slots(self) -> None:
        @dataclass(frozen=True)
        class Without:
            a: int

        with self.assertRaises(TypeError):
            made_quickly(Without)
