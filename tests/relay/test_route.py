"""Twenty zones and where mail for them goes (O1, O4, NM1, QU2, S19)."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from smtpplus.ports import IResolver, LookupFailedError, MxHost, NoSuchDomainError
from smtpplus.relay.route import MOST_ADDRESSES, RouteFailedError, Router, Target
from smtpplus.rules.routing import Deliver, Endpoint, Routing
from smtpplus.values.address import Address
from smtpplus.values.outcome import Result

_NO, _FAIL = NoSuchDomainError(), LookupFailedError("DNS gave SERVFAIL.")
_Answer = Sequence[str] | Exception

_MX: dict[str, Sequence[MxHost] | Exception] = {
    "plain": [MxHost(10, "a.host")],
    "two": [MxHost(20, "b.host"), MxHost(10, "a.host")],
    "nodata": [],
    "nothing": [],
    "gone": _NO,
    "servfail": _FAIL,
    "null": [MxHost(0, "")],
    "null-and-another": [MxHost(0, ""), MxHost(10, "a.host")],
    "dangling": [MxHost(10, "gone.host")],
    "addressless": [MxHost(10, "empty.host")],
    "half": [MxHost(10, "gone.host"), MxHost(20, "b.host")],
    "half-trouble": [MxHost(10, "fail.host"), MxHost(20, "b.host")],
    "trouble": [MxHost(10, "fail.host")],
    "trouble-and-gone": [MxHost(10, "gone.host"), MxHost(20, "fail.host")],
    "us": [MxHost(10, "us.example")],
    "us-second": [MxHost(10, "a.host"), MxHost(20, "us.example"), MxHost(30, "b.host")],
    "loopback": [MxHost(10, "loop.host")],
    "own-address": [MxHost(10, "own.host")],
    "hundred": [MxHost(10, f"h{index}.host") for index in range(100)],
    "both-families": [MxHost(10, "six.host")],
    "same-twice": [MxHost(10, "a.host"), MxHost(20, "a.host")],
}
_ADDRESSES: dict[str, _Answer] = {
    "a.host": ["192.0.2.1"],
    "b.host": ["192.0.2.2"],
    "nodata": ["192.0.2.3"],
    "nothing": [],
    "gone.host": _NO,
    "empty.host": [],
    "fail.host": _FAIL,
    "loop.host": ["127.0.0.1", "0.0.0.0", "::1"],
    "own.host": ["198.51.100.1"],
    "six.host": ["2001:db8::1", "2001:db8::2", "192.0.2.4"],
    **{f"h{index}.host": [f"192.0.2.{index}"] for index in range(100)},
}


@implementer(IResolver)
class _Zones:
    async def mx(self, domain: str) -> Sequence[MxHost]:
        answer = _MX[domain]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def addresses(self, host: str) -> Sequence[str]:
        answer = _ADDRESSES[host]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def txt(self, name: str) -> Sequence[str]:
        raise NotImplementedError


_ZONES: list[tuple[str, list[str] | str]] = [
    ("plain", ["192.0.2.1"]),
    ("two", ["192.0.2.1", "192.0.2.2"]),
    ("nodata", ["192.0.2.3"]),
    ("nothing", "5.4.4"),
    ("gone", "5.1.2"),
    ("servfail", "4.4.3"),
    ("null", "5.1.10"),
    ("null-and-another", ["192.0.2.1"]),
    ("dangling", "5.4.4"),
    ("addressless", "5.4.4"),
    ("half", ["192.0.2.2"]),
    ("half-trouble", ["192.0.2.2"]),
    ("trouble", "4.4.3"),
    ("trouble-and-gone", "4.4.3"),
    ("us", "5.4.6"),
    ("us-second", ["192.0.2.1"]),
    ("loopback", "5.4.6"),
    ("own-address", "5.4.6"),
    ("both-families", ["2001:db8::1", "192.0.2.4", "2001:db8::2"]),
    ("same-twice", ["192.0.2.1"]),
    ("[192.0.2.9]", ["192.0.2.9"]),
    ("[IPv6:2001:db8::9]", ["2001:db8::9"]),
    ("[127.0.0.1]", "5.4.6"),
]


class RouteTests(SynchronousTestCase):
    def _ask(self, domain: str, routing: Routing | None = None) -> Deferred[Sequence[Target]]:
        router = Router(
            routing=routing or Routing(deliver=Deliver.INTERNET),
            resolver=_Zones(),
            our_names={"us.example"},
            is_own_address=lambda ip: ip == "198.51.100.1",
            chance=lambda: 0.5,
        )
        return ensureDeferred(router.targets(Address("x", domain)))

    def _targets(self, domain: str, routing: Routing | None = None) -> Sequence[Target]:
        return self.successResultOf(self._ask(domain, routing))

    def test_O1_zones(self) -> None:
        for domain, expected in _ZONES:
            with self.subTest(domain=domain):
                if isinstance(expected, list):
                    self.assertEqual([one.ip for one in self._targets(domain)], expected)
                    continue
                failure = self.failureResultOf(self._ask(domain), RouteFailedError)
                outcome = failure.value.outcome
                self.assertEqual(str(outcome.status), expected)
                wanted = Result.BOUNCED if expected.startswith("5") else Result.DEFERRED
                self.assertIs(outcome.result, wanted)

    def test_O1_a_hundred_exchangers_give_five_addresses(self) -> None:
        self.assertEqual(len(self._targets("hundred")), MOST_ADDRESSES)

    def test_a_configured_next_hop_may_be_this_machine(self) -> None:
        routing = Routing(deliver=Deliver.SMARTHOST, smarthost=Endpoint("127.0.0.1", 2526))
        self.assertEqual(
            self._targets("gone", routing),
            [Target("127.0.0.1", "127.0.0.1", 2526, configured=True, wants_login=True)],
        )

    def test_a_next_hop_by_name_without_address_defers(self) -> None:
        routing = Routing(deliver=Deliver.SMARTHOST, smarthost=Endpoint("gone.host", 25))
        failure = self.failureResultOf(self._ask("plain", routing), RouteFailedError)
        self.assertIs(failure.value.outcome.result, Result.DEFERRED)
