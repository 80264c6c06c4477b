"""Where a delivery goes (O4, QU2, S19)."""

from __future__ import annotations

import random
from collections import Counter

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.rules.routing import (
    Deliver,
    Endpoint,
    Exchanger,
    Routing,
    fixed_endpoint,
    is_ours_by_nature,
    lane_key,
    order_exchangers,
)
from smtpplus.values.address import Address


class FixedEndpointTests(SynchronousTestCase):
    def test_routes_match_the_domain_then_its_parents_then_the_star(self) -> None:
        routing = Routing(
            deliver=Deliver.INTERNET,
            routes={
                "example.net": Endpoint("192.0.2.1", 25),
                "*.example.net": Endpoint("192.0.2.2", 25),
                "*.sub.example.net": Endpoint("192.0.2.3", 25),
            },
        )
        for domain, ip in [
            ("example.net", "192.0.2.1"),
            ("EXAMPLE.NET", "192.0.2.1"),
            ("a.example.net", "192.0.2.2"),
            ("a.b.example.net", "192.0.2.2"),
            ("a.sub.example.net", "192.0.2.3"),
            ("example.org", None),
            ("badexample.net", None),
        ]:
            endpoint = fixed_endpoint(Address("x", domain), routing)
            self.assertEqual(endpoint and endpoint.host, ip, domain)

    def test_a_route_wins_over_the_smarthost(self) -> None:
        routing = Routing(
            deliver=Deliver.SMARTHOST,
            routes={"example.net": Endpoint("192.0.2.1", 2525)},
            smarthost=Endpoint("smart.example", 587),
        )
        self.assertEqual(lane_key(Address("x", "example.net"), routing), "192.0.2.1:2525")
        self.assertEqual(lane_key(Address("x", "example.org"), routing), "smart.example:587")

    def test_the_sandbox_plays_a_broken_handshake_for_one_local_part(self) -> None:
        routing = Routing(
            deliver=Deliver.SANDBOX,
            sandbox=Endpoint("127.0.0.1", 1),
            sandbox_tls_fail=Endpoint("127.0.0.1", 2),
        )
        self.assertEqual(lane_key(Address("TLS-Fail", "a.example"), routing), "127.0.0.1:2")
        self.assertEqual(lane_key(Address("x", "a.example"), routing), "127.0.0.1:1")

    def test_lanes_of_the_internet_are_domains(self) -> None:
        routing = Routing(deliver=Deliver.INTERNET)
        self.assertEqual(lane_key(Address("x", "Bücher.example"), routing), "xn--bcher-kva.example")


class OrderTests(SynchronousTestCase):
    def test_O4_preference_first_then_chance(self) -> None:
        rng = random.Random(7)
        answer = [Exchanger(20, "c"), Exchanger(10, "a"), Exchanger(10, "b")]
        first: Counter[str] = Counter()
        for _ in range(1000):
            hosts = order_exchangers(answer, (), rng.random)
            assert hosts is not None
            self.assertEqual(hosts[2], "c")
            first[hosts[0]] += 1
        chi_square = sum((first[name] - 500) ** 2 / 500 for name in ("a", "b"))
        self.assertLess(chi_square, 6.63)  # p = 0.01, one degree of freedom

    def test_QU2_ourselves_cuts_the_list_at_our_preference(self) -> None:
        answer = [Exchanger(10, "a"), Exchanger(20, "us"), Exchanger(20, "b"), Exchanger(30, "c")]
        self.assertEqual(order_exchangers(answer, {"us"}, lambda: 0.5), ["a"])
        self.assertIsNone(order_exchangers(answer[1:], {"us"}, lambda: 0.5))

    def test_no_mx_is_an_empty_list_and_no_loop(self) -> None:
        self.assertEqual(order_exchangers([], {"us"}, lambda: 0.5), [])

    def test_S19_addresses_that_can_only_be_this_machine(self) -> None:
        for ip in ["127.0.0.1", "0.0.0.0", "::1", "::", "169.254.1.1", "fe80::1", "224.0.0.1"]:
            self.assertTrue(is_ours_by_nature(ip, 25), ip)
            self.assertTrue(is_ours_by_nature(ip, 2525), ip)
        self.assertTrue(is_ours_by_nature("::ffff:127.0.0.1", 25))
        self.assertTrue(is_ours_by_nature("127.0.0.2", 25))
        self.assertFalse(is_ours_by_nature("127.0.0.2", 2525))
        self.assertFalse(is_ours_by_nature("192.0.2.1", 25))
