"""Rates per address."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.rules.address_rates import AddressRates


class AddressRateTests(SynchronousTestCase):
    def test_a_burst_passes_and_then_the_rate(self) -> None:
        rates = AddressRates(10.0, 5)
        waits = [rates.wait_seconds("192.0.2.1", 100.0) for _ in range(6)]
        self.assertEqual(waits[:5], [0.0] * 5)
        self.assertAlmostEqual(waits[5], 0.1)
        admitted = sum(
            not rates.wait_seconds("192.0.2.1", 100.0 + tick / 1000) for tick in range(1, 2001)
        )
        self.assertEqual(admitted, 20)

    def test_what_is_refused_costs_nothing(self) -> None:
        rates = AddressRates(1.0, 1)
        for _ in range(100):
            rates.wait_seconds("192.0.2.1", 5.0)
        self.assertEqual(rates.wait_seconds("192.0.2.1", 6.0), 0.0)

    def test_addresses_are_apart_and_an_IPv6_customer_is_one(self) -> None:
        rates = AddressRates(1.0, 1)
        for ip in ("192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8:0:1::1", "", "nonsense"):
            self.assertEqual(rates.wait_seconds(ip, 0.0), 0.0, ip)
        self.assertGreater(rates.wait_seconds("2001:db8::ffff", 0.0), 0.0)

    def test_a_clock_that_stood_still_or_an_old_address_gains_no_more_than_the_burst(self) -> None:
        rates = AddressRates(1.0, 3)
        rates.wait_seconds("192.0.2.1", 0.0)
        waits = [rates.wait_seconds("192.0.2.1", 1e6) for _ in range(4)]
        self.assertEqual([wait == 0.0 for wait in waits], [True, True, True, False])

    def test_R_memory_is_bounded(self) -> None:
        rates = AddressRates(1.0, 1, most_addresses=100)
        for number in range(1000):
            rates.wait_seconds(f"10.0.{number // 250}.{number % 250}", 0.0)
        self.assertEqual(len(rates._paid_at), 100)
