import contextlib
import random
import struct
from ipaddress import ip_address

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.smtp.events import Connected
from smtpplus.smtp.proxy_protocol import ProxyError, ProxyHeader, read_proxy_header
from tests.smtp.pump import Pump, codes, cuts, settings

V2 = b"\r\n\r\n\0\r\nQUIT\n"


def v2(command: int, family: int, addresses: bytes, tlv: bytes = b"", version: int = 2) -> bytes:
    rest = addresses + tlv
    return V2 + bytes([version << 4 | command, family]) + struct.pack("!H", len(rest)) + rest


def inet(source: str, target: str, source_port: int = 4000, target_port: int = 25) -> bytes:
    packed = ip_address(source).packed + ip_address(target).packed
    return packed + struct.pack("!HH", source_port, target_port)


GOOD = (
    (b"PROXY TCP4 192.0.2.7 192.0.2.1 4000 25\r\n", "192.0.2.7", 4000),
    (b"PROXY TCP6 2001:db8::7 2001:db8::1 4000 25\r\n", "2001:db8::7", 4000),
    (b"PROXY TCP6 ::ffff:192.0.2.7 ::1 4000 25\r\n", "192.0.2.7", 4000),
    (b"PROXY UNKNOWN\r\n", None, 0),
    (b"PROXY UNKNOWN ffff:f...f ffff:f...f 65535 65535\r\n", None, 0),
    (v2(1, 0x11, inet("192.0.2.7", "192.0.2.1")), "192.0.2.7", 4000),
    (v2(1, 0x21, inet("2001:db8::7", "::1")), "2001:db8::7", 4000),
    (v2(1, 0x11, inet("192.0.2.7", "192.0.2.1"), b"\x04\0\x03abc"), "192.0.2.7", 4000),
    (v2(0, 0x00, b""), None, 0),
    (v2(0, 0x11, inet("192.0.2.7", "192.0.2.1")), None, 0),
    (v2(1, 0x31, b"x" * 216), None, 0),
    (v2(1, 0x00, b"x" * 20), None, 0),
)
BAD = (
    b"EHLO x\r\n",
    b"PROXX",
    b"proxy TCP4 192.0.2.7 192.0.2.1 4000 25\r\n",
    b"\r\nEHLO",
    b"\r\n\r\n\0\r\nQUIX",
    b"PROXY \r\n",
    b"PROXY TCP4\r\n",
    b"PROXY TCP5 192.0.2.7 192.0.2.1 4000 25\r\n",
    b"PROXY TCP4 192.0.2.7 192.0.2.1 4000\r\n",
    b"PROXY TCP4 192.0.2.7 192.0.2.1 4000 25 x\r\n",
    b"PROXY TCP4 192.0.2.7  192.0.2.1 4000 25\r\n",
    b"PROXY TCP4 192.0.2.700 192.0.2.1 4000 25\r\n",
    b"PROXY TCP4 ::1 192.0.2.1 4000 25\r\n",
    b"PROXY TCP6 192.0.2.7 ::1 4000 25\r\n",
    b"PROXY TCP6 fe80::1%eth0 ::1 4000 25\r\n",
    b"PROXY TCP4 192.0.2.7 192.0.2.1 65536 25\r\n",
    b"PROXY TCP4 192.0.2.7 192.0.2.1 -1 25\r\n",
    b"PROXY TCP4 192.0.2.7 192.0.2.1 4000 +25\r\n",
    b"PROXY TCP4 192.0.2.7 192.0.2.1 4000 25\n" + b"x" * 100,
    b"PROXY TCP4 caf\xe9 192.0.2.1 4000 25\r\n",
    b"PROXY TCP4 " + b"1" * 200,
    v2(1, 0x11, b"x" * 11),
    v2(1, 0x21, b"x" * 35),
    v2(2, 0x11, inet("192.0.2.7", "192.0.2.1")),
    v2(1, 0x11, inet("192.0.2.7", "192.0.2.1"), version=1),
    V2 + b"\x21\x11\xff\xff",
)


class ProxyProtocolTests(SynchronousTestCase):
    def test_good_headers_wherever_they_are_cut(self) -> None:
        for wire, client_ip, port in GOOD:
            for length in range(len(wire)):
                self.assertIsNone(read_proxy_header(wire[:length]), wire)
            for rest in (b"", b"EHLO x\r\n"):
                expected = ProxyHeader(client_ip, port, len(wire))
                self.assertEqual(read_proxy_header(wire + rest), expected)

    def test_bad_headers(self) -> None:
        for wire in BAD:
            with self.assertRaises(ProxyError, msg=repr(wire)):
                read_proxy_header(wire)

    def test_S9_nothing_else_is_raised(self) -> None:
        chance = random.Random(3)
        for _ in range(20_000):
            wire = bytearray(chance.choice(GOOD)[0])
            for _ in range(chance.randrange(1, 4)):
                wire[chance.randrange(len(wire))] = chance.randrange(256)
            with contextlib.suppress(ProxyError):
                read_proxy_header(bytes(wire[: chance.randrange(1, len(wire) + 1)]))


class ProxiedConversationTests(SynchronousTestCase):
    def test_the_header_comes_before_everything(self) -> None:
        for wire, client_ip, port in GOOD:
            for pieces in cuts(wire):
                pump = Pump(settings(proxied=True))
                self.assertEqual(codes(pump.send(*pieces)), [220])
                shown = (client_ip or "192.0.2.1", port or 4321)
                self.assertEqual(pump.events, [Connected(*shown, proxied=True)])
                self.assertEqual((pump.talk.client_ip, pump.talk.client_port), shown)
                self.assertEqual(codes(pump.send(b"EHLO x\r\n")), [250])

    def test_without_it_not_a_word_is_said(self) -> None:
        for wire in BAD:
            for pieces in cuts(wire):
                pump = Pump(settings(proxied=True))
                self.assertEqual(pump.send(*pieces), [])
                self.assertIsNotNone(pump.closed)

    def test_S7_octets_behind_the_header_come_too_early(self) -> None:
        pump = Pump(settings(proxied=True))
        self.assertEqual(codes(pump.send(GOOD[0][0] + b"EHLO x\r\n")), [554])

    def test_where_no_header_is_expected_it_is_junk(self) -> None:
        self.assertEqual(codes(Pump().send(GOOD[0][0])), [500])
