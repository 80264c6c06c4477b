"""What needs no socket: remembered credentials, free space."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from smtpplus.net.clock import ReactorClock
from smtpplus.submission.space import FreeSpace
from smtpplus.submission.verified import VerifiedCredentials
from smtpplus.values.submission import ScramVerifier

VERIFIER = ScramVerifier(b"salt", 4096, b"stored", b"server")


class VerifiedCredentialsTests(SynchronousTestCase):
    def test_short_lived_and_bound_to_the_verifier(self) -> None:
        kept = VerifiedCredentials(b"k" * 32, seconds=300.0)
        mark = kept.mark(VERIFIER, "secret")
        self.assertFalse(kept.holds(mark, 0.0))
        kept.add(mark, 0.0)
        self.assertTrue(kept.holds(mark, 299.0))
        self.assertFalse(kept.holds(mark, 300.0))
        other = ScramVerifier(b"salt", 4096, b"changed", b"server")
        self.assertFalse(kept.holds(kept.mark(other, "secret"), 1.0))
        self.assertFalse(kept.holds(kept.mark(VERIFIER, "Secret"), 1.0))

    def test_holds_no_password_and_is_bounded(self) -> None:
        kept = VerifiedCredentials(b"k" * 32, most=10)
        for number in range(100):
            kept.add(kept.mark(VERIFIER, f"secret{number}"), 0.0)
        self.assertEqual(len(kept), 10)
        self.assertNotIn("secret", repr(kept._until))
        theirs = VerifiedCredentials(b"x" * 32).mark(VERIFIER, "secret")
        self.assertNotEqual(kept.mark(VERIFIER, "secret"), theirs)


class FreeSpaceTests(SynchronousTestCase):
    def test_D7_asks_once_a_second(self) -> None:
        timers, asked = Clock(), []
        free = 99

        def free_octets() -> int:
            asked.append(timers.seconds())
            if free < 0:
                raise OSError("stale handle")
            return free

        space = FreeSpace(free_octets, 100, ReactorClock(timers))
        self.assertTrue(space.is_short())
        free = 100
        timers.advance(0.5)
        self.assertTrue(space.is_short())
        timers.advance(0.5)
        self.assertFalse(space.is_short())
        self.assertEqual(len(asked), 2)
        free = -1
        timers.advance(1.0)
        self.assertFalse(space.is_short())
