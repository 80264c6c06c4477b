"""The AUTH throttle, by numbers: A2."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from smtpplus.rules.throttle import AuthLimits, AuthThrottle, address_group

USER = "s10001_01"
STRANGER = "192.0.2.66"


class ThrottleTests(TestCase):
    def test_A2_one_try_a_second_after_five_failures(self) -> None:
        throttle = AuthThrottle()
        tried = 0
        for tick in range(10_000):  # a try each 10 ms for 100 s, a new user name each time
            now = tick / 100
            if not throttle.wait_seconds(STRANGER, f"user{tick}", now):
                tried += 1
                throttle.failed(STRANGER, f"user{tick}", now)
        self.assertLessEqual(tried, 5 + 100)
        self.assertGreater(tried, 95)

    def test_A2_the_wait_is_told(self) -> None:
        throttle = AuthThrottle()
        for _ in range(5):
            throttle.failed(STRANGER, USER, 10.0)
        self.assertAlmostEqual(throttle.wait_seconds(STRANGER, USER, 10.25), 0.75)
        self.assertEqual(throttle.wait_seconds(STRANGER, USER, 11.0), 0.0)
        self.assertAlmostEqual(throttle.wait_seconds(STRANGER, USER, 11.5), 0.5)

    def test_A2_parallel_tries_take_turns_once_throttled(self) -> None:
        throttle = AuthThrottle()
        for _ in range(5):
            throttle.failed(STRANGER, USER, 0.0)
        admitted = [throttle.wait_seconds(STRANGER, USER, 5.0) == 0.0 for _ in range(50)]
        self.assertEqual(sum(admitted), 1)

    def test_A2_user_lock_spares_known_addresses(self) -> None:
        throttle = AuthThrottle()
        throttle.succeeded("198.51.100.7", USER, 0.0)
        for index in range(40):
            throttle.failed(f"203.0.113.{index}", USER, 1.0)
        self.assertGreater(throttle.wait_seconds("203.0.113.200", USER, 2.0), 0.0)
        self.assertEqual(throttle.wait_seconds("198.51.100.7", USER, 2.0), 0.0)

    def test_A2_user_lock_ends_after_fifteen_minutes(self) -> None:
        throttle = AuthThrottle()
        for index in range(20):
            throttle.failed(f"203.0.113.{index}", USER, 0.0)
        self.assertEqual(throttle.wait_seconds("203.0.113.200", USER, 0.0), 900.0)
        self.assertEqual(throttle.wait_seconds("203.0.113.200", USER, 900.0), 0.0)

    def test_A2_a_known_pair_is_counted_apart_from_its_address(self) -> None:
        throttle = AuthThrottle()
        throttle.succeeded(STRANGER, USER, 0.0)
        for _ in range(30):
            throttle.failed(STRANGER, "printer", 0.0)
        self.assertEqual(throttle.wait_seconds(STRANGER, USER, 0.1), 0.0)
        for _ in range(5):  # and it is no free pass for guessing at that user
            throttle.failed(STRANGER, USER, 0.1)
        self.assertGreater(throttle.wait_seconds(STRANGER, USER, 0.2), 0.0)

    def test_A2_success_with_an_own_account_pardons_nothing(self) -> None:
        throttle = AuthThrottle()
        for _ in range(5):
            throttle.failed(STRANGER, USER, 0.0)
        throttle.succeeded(STRANGER, "s10002_01", 0.1)
        self.assertGreater(throttle.wait_seconds(STRANGER, USER, 0.2), 0.0)

    def test_failures_are_forgotten(self) -> None:
        throttle = AuthThrottle(AuthLimits(memory_seconds=60.0))
        for _ in range(5):
            throttle.failed(STRANGER, USER, 0.0)
        for _ in range(3):
            self.assertEqual(throttle.wait_seconds(STRANGER, USER, 61.0), 0.0)

    def test_memory_is_bounded(self) -> None:
        throttle = AuthThrottle(AuthLimits(most_entries=100))
        for index in range(1_000):
            throttle.failed(f"2001:db8:{index:x}::1", "x" * 9_000 + str(index), float(index))
            throttle.succeeded(f"2001:db8:{index:x}::1", f"user{index}", float(index))
        for table in (throttle._sources, throttle._users, throttle._known):
            self.assertLessEqual(len(table), 100)

    def test_user_names_are_compared_without_case(self) -> None:
        throttle = AuthThrottle()
        for index in range(20):
            throttle.failed(f"203.0.113.{index}", "S10001_01" if index % 2 else USER, 0.0)
        self.assertGreater(throttle.wait_seconds("203.0.113.200", USER, 1.0), 0.0)

    def test_address_groups(self) -> None:
        for ip, group in (
            ("192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("fe80::1%eth0", "fe80::/64"),
            ("::1", "::/64"),
            ("no:address", "no:address"),
        ):
            self.assertEqual(address_group(ip), group, ip)
