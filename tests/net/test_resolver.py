"""The resolver against a name server that answers well and badly."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from smtpplus.net.clock import ReactorClock
from smtpplus.net.dns_question import DnsAnswer, Found
from smtpplus.net.resolver import Resolver
from smtpplus.net.spawn import Spawn
from smtpplus.net.workers import Workers
from smtpplus.ports import IResolver, LookupFailedError, MxHost, NoSuchDomainError
from smtpplus.values.errors import ConfigError
from tests.dns_server import FaultDnsServer


class ResolverTests(TestCase):
    def setUp(self) -> None:
        self.server = FaultDnsServer(reactor)
        self.server.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.server.stop()))
        self.workers = Workers(reactor, "dns", 4)
        self.workers.start()
        self.addCleanup(self.workers.stop)
        self.seconds = 0.0
        self.resolver = self._resolver()

    def _resolver(self, **options: Any) -> Resolver:
        clock = ReactorClock(reactor)
        options = {"try_seconds": 0.2, "total_seconds": 0.5, **options}
        return Resolver(
            clock, self.workers, Spawn(clock), nameservers=[self.server.where], **options
        )

    def _asked(self, name: str) -> int:
        return sum(1 for asked in self.server.asked if asked[0] == name)

    async def _fails(self, error: type[Exception], name: str, kind: str = "mx") -> str:
        try:
            answer = await getattr(self.resolver, kind)(name)
        except error as caught:
            return str(caught)
        raise AssertionError(f"{name} answered {answer!r}")

    def test_it_is_the_port(self) -> None:
        verifyObject(IResolver, self.resolver)

    async def test_O1_mx_as_they_came(self) -> None:
        self.server.answer("example.org", "MX", "20 B.example.org.", "10 a.example.org.")
        found = await self.resolver.mx("Example.org.")
        self.assertEqual(set(found), {MxHost(10, "a.example.org"), MxHost(20, "b.example.org")})

    async def test_O1_null_mx(self) -> None:
        self.server.answer("null.example", "MX", "0 .")
        self.assertEqual(list(await self.resolver.mx("null.example")), [MxHost(0, "")])

    async def test_O1_nodata_is_empty(self) -> None:
        self.server.answer("bare.example", "A", "192.0.2.1")
        self.assertEqual(list(await self.resolver.mx("bare.example")), [])

    async def test_O1_nxdomain(self) -> None:
        self.assertIn("does not exist", await self._fails(NoSuchDomainError, "none.example"))
        self.assertIn("no domain name", await self._fails(NoSuchDomainError, "a..example"))
        await self._fails(NoSuchDomainError, "x" * 64 + ".example")

    async def test_O1_servfail_refused_and_silence_are_failures(self) -> None:
        self.server.fail("broken.example", "SERVFAIL")
        self.assertIn("SERVFAIL", await self._fails(LookupFailedError, "broken.example"))
        self.server.fail("closed.example", "REFUSED")
        self.assertIn("REFUSED", await self._fails(LookupFailedError, "closed.example"))
        self.server.silent("silent.example")
        self.assertIn("timed out", await self._fails(LookupFailedError, "silent.example"))

    async def test_O1_cnames_are_followed(self) -> None:
        for follow in (True, False):
            self.server.follow = follow
            resolver = self._resolver()
            self.server.cname("a.example", "b.example")
            self.server.cname("b.example", "c.example")
            self.server.answer("c.example", "MX", "10 mx.example.")
            self.server.answer("c.example", "TXT", '"v=x" " y"', '"z"')
            self.assertEqual(list(await resolver.mx("a.example")), [MxHost(10, "mx.example")])
            self.assertEqual(set(await resolver.txt("a.example")), {"v=x y", "z"})

    async def test_O1_cname_to_nowhere(self) -> None:
        self.server.cname("lost.example", "gone.example")
        await self._fails(NoSuchDomainError, "lost.example")
        self.server.follow = False
        self.server.cname("lost2.example", "gone.example")
        await self._fails(NoSuchDomainError, "lost2.example")

    async def test_O1_cname_loops_are_failures(self) -> None:
        self.server.cname("x.example", "y.example")
        self.server.cname("y.example", "x.example")
        self.server.cname("self.example", "self.example")
        for follow in (True, False):
            self.server.follow = follow
            self.resolver = self._resolver()
            await self._fails(LookupFailedError, "x.example")
            await self._fails(LookupFailedError, "self.example", "addresses")
        for number in range(30):
            self.server.cname(f"{number}.long.example", f"{number + 1}.long.example")
        self.assertIn("too long", await self._fails(LookupFailedError, "0.long.example"))

    async def test_O1_addresses_with_and_without_ipv6(self) -> None:
        self.server.answer("host.example", "A", "192.0.2.1", "192.0.2.2")
        self.server.answer("host.example", "AAAA", "2001:db8::1")
        self.server.answer("v6.example", "AAAA", "2001:db8::2")
        self.assertEqual(
            sorted(await self.resolver.addresses("host.example")), ["192.0.2.1", "192.0.2.2"]
        )
        self.assertEqual(list(await self.resolver.addresses("v6.example")), [])
        six = self._resolver(ipv6=True)
        self.assertEqual((await six.addresses("host.example"))[0], "2001:db8::1")
        self.assertEqual(len(await six.addresses("host.example")), 3)

    async def test_O1_no_such_name_is_what_A_says_and_trouble_of_either_is_trouble(self) -> None:
        no, failed, nothing = Found.NO_DOMAIN, Found.FAILED, Found.NOTHING
        for six, four, error in (
            (no, failed, LookupFailedError),  # a server that is wrong about AAAA
            (no, nothing, None),
            (no, no, NoSuchDomainError),
            (failed, no, NoSuchDomainError),
            (failed, failed, LookupFailedError),
            (failed, nothing, LookupFailedError),
            (nothing, failed, LookupFailedError),
            (nothing, nothing, None),
        ):
            resolver = self._resolver(ipv6=True)
            for record_type, found in (("AAAA", six), ("A", four)):
                key = ("odd.example", record_type)
                resolver._cache.put(
                    key, DnsAnswer(found, 60.0), 60.0, ReactorClock(reactor).monotonic()
                )
            if error is None:
                self.assertEqual(list(await resolver.addresses("odd.example")), [])
            else:
                with self.assertRaises(error):
                    await resolver.addresses("odd.example")

    async def test_O3_truncated_is_asked_again_over_tcp(self) -> None:
        records = [f"{number} mx{number}.big.example." for number in range(100)]
        self.server.answer("big.example", "MX", *records)
        self.server.truncate("big.example")
        self.assertEqual(len(await self.resolver.mx("big.example")), 100)
        self.assertEqual([asked[2] for asked in self.server.asked], ["udp", "tcp"])

    async def test_O3_garbage_is_a_failure(self) -> None:
        header = b"\x84\x00\x00\x01\x00\x01\x00\x00\x00\x00"
        loop = header + b"\xc0\x0c\x00\x0f\x00\x01" + b"\xc0\x0c" * 20
        for number, octets in enumerate((b"", b"\xff" * 200, header, loop, loop[:20])):
            self.server.garble(f"{number}.bad.example", octets)
            await self._fails(LookupFailedError, f"{number}.bad.example")

    async def test_answers_are_kept(self) -> None:
        self.server.answer("kept.example", "A", "192.0.2.1")
        for _ in range(3):
            await self.resolver.addresses("kept.example")
            await self._fails(NoSuchDomainError, "none.example")
        self.assertEqual(self._asked("kept.example"), 1)
        self.assertEqual(self._asked("none.example"), 1)

    async def test_one_question_for_all_who_wait(self) -> None:
        self.server.answer("shared.example", "A", "192.0.2.1")
        asked = [
            Deferred.fromCoroutine(self.resolver.addresses("shared.example")) for _ in range(50)
        ]
        asked[0].cancel()
        asked[0].addErrback(lambda _: None)
        answers = await gatherResults(asked[1:])
        self.assertEqual({tuple(answer) for answer in answers}, {("192.0.2.1",)})
        self.assertEqual(self._asked("shared.example"), 1)

    async def test_a_failure_is_forgotten_soon(self) -> None:
        self.server.fail("back.example", "SERVFAIL")
        await self._fails(LookupFailedError, "back.example")
        self.server.mend("back.example")
        self.server.answer("back.example", "MX", "10 mx.example.")
        await self._fails(LookupFailedError, "back.example")  # within five seconds: no question
        self.assertEqual(self._asked("back.example"), 1)

    def test_name_servers_are_checked(self) -> None:
        clock = ReactorClock(reactor)
        for text in ("ns.example", "127.0.0.1:0", "127.0.0.1:x", "[::1", "1.2.3.4:99999"):
            with self.assertRaises(ConfigError) as caught:
                Resolver(clock, self.workers, Spawn(clock), nameservers=[text])
            self.assertIn(text, str(caught.exception))
        for text in ("::1", "[::1]:5353", "127.0.0.1"):
            Resolver(clock, self.workers, Spawn(clock), nameservers=[text])
