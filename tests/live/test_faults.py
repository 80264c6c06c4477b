"""Kills, failing and full disks, jumping clocks, crowds: the short forms of tests/endurance."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.endurance.ground import Ground
from tests.endurance.scenarios import SCENARIOS
from tests.folders import folder_of


class FaultTests(SynchronousTestCase):
    """Each runs one scenario and prints what it measured."""

    def play(self, name: str) -> None:
        directory = folder_of(self)
        directory.mkdir(parents=True)
        print(f"{name}: {SCENARIOS[name].short(Ground(self, directory))}")

    def test_D1_D2_D9_D16_killed_at_chosen_system_calls(self) -> None:
        self.play("kills")

    def test_D3_D16_killed_at_any_moment(self) -> None:
        self.play("random-kills")

    def test_D3_D16_killed_amid_a_long_queue(self) -> None:
        self.play("long-queue-kills")

    def test_D11_a_long_queue(self) -> None:
        self.play("long-queue")

    def test_D4_no_250_before_its_sync(self) -> None:
        self.play("syncs")

    def test_D4_no_250_before_its_sync_by_the_writer(self) -> None:
        self.play("syncs-of-several")

    def test_D5_D6_calls_that_fail(self) -> None:
        self.play("failing-disk")

    def test_D6_a_full_disk(self) -> None:
        self.play("full-disk")

    def test_D7_too_little_room_for_a_message(self) -> None:
        self.play("too-little-room")

    def test_D6_a_disk_full_of_the_queue_itself(self) -> None:
        self.play("full-of-itself")

    def test_D5_D6_a_disk_that_fails_under_several_processes(self) -> None:
        self.play("failing-disk-of-several")

    def test_D6_D7_a_full_disk_of_several_processes(self) -> None:
        self.play("full-disk-of-several")

    def test_D6_a_disk_full_of_the_queue_of_several_processes(self) -> None:
        self.play("full-of-itself-of-several")

    def test_D8_more_clients_than_descriptors(self) -> None:
        self.play("descriptors")

    def test_D10_a_final_reply_that_never_comes(self) -> None:
        self.play("lost-reply")

    def test_D15_a_page_that_was_lost(self) -> None:
        self.play("lost-page")

    def test_D18_a_lifetime_that_ends(self) -> None:
        self.play("expiry")

    def test_R1_idle_connections(self) -> None:
        self.play("idle")

    def test_R5_large_messages_at_once(self) -> None:
        self.play("large")

    def test_R11_a_long_run(self) -> None:
        self.play("soak")

    def test_O5_dead_destinations(self) -> None:
        self.play("dead-destination")

    def test_O8_the_schedule_of_retries(self) -> None:
        self.play("schedule")

    def test_C1_a_clock_that_jumps(self) -> None:
        self.play("clock")

    def test_C5_a_store_locked_by_another(self) -> None:
        self.play("locked-store")
