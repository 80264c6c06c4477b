"""A DNS server of the tests' own, on loopback, that answers well or badly as told.

    server = FaultDnsServer(reactor)
    server.start()                                     # UDP and TCP on one port of the kernel's
    resolver = Resolver(..., nameservers=[server.where])
    server.answer("example.org", "MX", "10 mx.example.org.", ttl=60)
    server.answer("mx.example.org", "A", "127.0.0.1")
    server.answer("null.example", "MX", "0 .")         # null MX
    server.cname("www.example", "host.example")        # a name's CNAME; chains and loops too
    server.fail("x.example", "SERVFAIL")               # or "REFUSED", "FORMERR", any rcode
    server.silent("slow.example")                      # no answer at all
    server.truncate("big.example")                     # TC over UDP, the whole answer over TCP
    server.garble("bad.example", b"...")               # these octets, after the id of the query
    server.asked                                       # [("mx.example.org", "A", "udp"), ...]
    await server.stop()

A name that was not mentioned is NXDOMAIN; one without records of the type asked for is NODATA;
both with an SOA whose minimum is `negative_ttl`. With ``follow = False`` a CNAME is answered
alone, as by a server that does not recurse.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from typing import Any

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
from twisted.internet.defer import maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol

__all__ = ["FaultDnsServer"]


class FaultDnsServer:
    """The server; see above."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._records: dict[str, dict[str, dns.rrset.RRset]] = defaultdict(dict)
        self._faults: dict[str, str] = {}
        self._silent: set[str] = set()
        self._truncated: set[str] = set()
        self._garbled: dict[str, bytes] = {}
        self._ports: list[Any] = []
        self.asked: list[tuple[str, str, str]] = []
        self.follow = True
        self.negative_ttl = 300
        self.port = 0

    @property
    def where(self) -> str:
        """``address:port``, as name servers are configured."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        for _ in range(20):
            tcp = self._reactor.listenTCP(0, _stream_factory(self), interface="127.0.0.1")
            port = tcp.getHost().port
            try:
                udp = self._reactor.listenUDP(port, _Datagrams(self), "127.0.0.1", 8192)
            except CannotListenError:
                tcp.stopListening()
                continue
            self._ports, self.port = [tcp, udp], port
            return
        raise RuntimeError("no port is free for both UDP and TCP")

    async def stop(self) -> None:
        for port in self._ports:
            await maybeDeferred(port.stopListening)

    def answer(self, name: str, record_type: str, *records: str, ttl: int = 60) -> None:
        """Records of one type, in zone file form; none at all makes the name exist."""
        kept = self._records[name.lower()]
        if records:
            kept[record_type] = dns.rrset.from_text(f"{name}.", ttl, "IN", record_type, *records)

    def cname(self, name: str, target: str, ttl: int = 60) -> None:
        self.answer(name, "CNAME", f"{target}.", ttl=ttl)

    def fail(self, name: str, rcode: str) -> None:
        self._faults[name.lower()] = rcode

    def silent(self, name: str) -> None:
        self._silent.add(name.lower())

    def truncate(self, name: str) -> None:
        self._truncated.add(name.lower())

    def garble(self, name: str, octets: bytes) -> None:
        self._garbled[name.lower()] = octets

    def mend(self, name: str) -> None:
        """Take the faults of a name back."""
        name = name.lower()
        self._faults.pop(name, None)
        self._garbled.pop(name, None)
        self._silent.discard(name)
        self._truncated.discard(name)

    def respond(self, wire: bytes, transport: str) -> bytes | None:
        """The answer to one query."""
        query = dns.message.from_wire(wire)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        record_type = dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, record_type, transport))
        if name in self._silent:
            return None
        if name in self._garbled:
            return wire[:2] + self._garbled[name]
        response = dns.message.make_response(query, recursion_available=True)
        if name in self._faults:
            response.set_rcode(dns.rcode.from_text(self._faults[name]))
        elif name in self._truncated and transport == "udp":
            response.flags |= dns.flags.TC
        else:
            self._fill(response, name, record_type)
        return response.to_wire(max_size=65_535 if transport == "tcp" else 0)

    def _fill(self, response: dns.message.Message, name: str, record_type: str) -> None:
        seen: set[str] = set()
        while name not in seen:
            seen.add(name)
            if name not in self._records:
                response.set_rcode(dns.rcode.NXDOMAIN)
                break
            kept = self._records[name]
            if record_type in kept:
                response.answer.append(kept[record_type])
                return
            if "CNAME" not in kept:
                break
            response.answer.append(kept["CNAME"])
            if not self.follow:
                return
            name = kept["CNAME"][0].target.to_text(omit_final_dot=True).lower()
        soa = f"ns. host. 1 3600 600 86400 {self.negative_ttl}"
        response.authority.append(dns.rrset.from_text(".", 3600, "IN", "SOA", soa))


class _Datagrams(DatagramProtocol):
    noisy = False

    def __init__(self, server: FaultDnsServer) -> None:
        self._server = server

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        response = self._server.respond(datagram, "udp")
        if response is not None:
            self.transport.write(response, addr)  # type: ignore[union-attr]


class _Stream(Protocol):
    def __init__(self, server: FaultDnsServer) -> None:
        self._server = server
        self._received = b""

    def dataReceived(self, data: bytes) -> None:
        self._received += data
        while len(self._received) >= 2:
            end = 2 + struct.unpack("!H", self._received[:2])[0]
            if len(self._received) < end:
                return
            query, self._received = self._received[2:end], self._received[end:]
            response = self._server.respond(query, "tcp")
            if response is not None:
                self.transport.write(struct.pack("!H", len(response)) + response)  # type: ignore[union-attr]


def _stream_factory(server: FaultDnsServer) -> Any:
    factory: Any = Factory.forProtocol(lambda: _Stream(server))
    factory.noisy = False
    return factory
