"""What each process is told of what the configuration says for all."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.settings import attempts_of_each


class SettingsTests(SynchronousTestCase):
    def test_P13_every_process_keeps_an_attempt_for_priority_1(self) -> None:
        for most, processes, ordinary, reserved in (
            (10, 1, 9, 1),
            (10, 2, 4, 1),
            (10, 4, 2, 1),
            (10, 16, 1, 1),
            (4, 1, 3, 1),
            (3, 1, 3, 0),
            (3, 2, 2, 0),
            (1, 4, 1, 0),
        ):
            found = attempts_of_each(most, processes)
            self.assertEqual(found, (ordinary, reserved), (most, processes))
