"""DNS for the roles: cached, shared, in threads.

Guarantees: an answer is asked for once however many wait for it, and kept for its TTL; a
failure is never taken for an answer (promise 7); nothing but `NoSuchDomainError` and
`LookupFailedError` is raised, and a cancelled caller takes nobody's answer away. Does not
convert names to A-labels and does not validate DNSSEC.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from smtpplus.net.dns_cache import DnsCache
from smtpplus.net.dns_question import DnsAnswer, Found, ask, stub_resolver
from smtpplus.ports import (
    IClock,
    IResolver,
    ISpawn,
    IWorkers,
    LookupFailedError,
    MxHost,
    NoSuchDomainError,
)

__all__ = ["Resolver", "has_ipv6_route"]

_Question = tuple[str, str]


def has_ipv6_route() -> bool:
    """Has this machine a route to IPv6's global addresses? Nothing is sent."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.connect(("2001:4860:4860::8888", 53))  # any global address does
    except OSError:
        return False
    return True


@implementer(IResolver)
class Resolver:
    """`IResolver` over dnspython.

    Args:
        nameservers: ``address`` or ``address:port``; none: those of /etc/resolv.conf.
        ipv6: are AAAA records of use on this machine?
        try_seconds: for one server to answer.
        total_seconds: for a question in all.

    Raises:
        ConfigError: a name server is malformed.
    """

    def __init__(
        self,
        clock: IClock,
        workers: IWorkers,
        spawn: ISpawn,
        *,
        nameservers: Sequence[str] = (),
        ipv6: bool = False,
        try_seconds: float = 3.0,
        total_seconds: float = 10.0,
        cache: DnsCache[DnsAnswer] | None = None,
    ) -> None:
        self._clock = clock
        self._workers = workers
        self._spawn = spawn
        self._ipv6 = ipv6
        self._stub = stub_resolver(
            nameservers, try_seconds=try_seconds, total_seconds=total_seconds
        )
        self._cache: DnsCache[DnsAnswer] = DnsCache() if cache is None else cache
        self._waiting: dict[_Question, list[Deferred[DnsAnswer]]] = {}

    async def mx(self, domain: str) -> Sequence[MxHost]:
        """MX records as they came."""
        return _records(await self._begin(domain, "MX"))

    async def txt(self, name: str) -> Sequence[str]:
        """TXT records, the strings of each joined."""
        return _records(await self._begin(name, "TXT"))

    async def addresses(self, host: str) -> Sequence[str]:
        """IPv6 addresses, where they are of use, then IPv4 addresses."""
        if not self._ipv6:
            return _records(await self._begin(host, "A"))
        asked = [self._begin(host, "AAAA"), self._begin(host, "A")]
        answers = [await deferred for deferred in asked]
        records = [record for answer in answers for record in answer.records]
        if records:
            return records
        # Nothing is only certain when both say so. That there is no such name A alone may say: some
        # servers say it to AAAA of names that have an A (RFC 4074 §4.2).
        six, four = answers
        is_open = six.found is Found.FAILED and four.found is Found.NOTHING
        return _records(six if is_open else four)

    def _begin(self, name: str, record_type: str) -> Deferred[DnsAnswer]:
        question = (name.rstrip(".").lower(), record_type)
        answered: Deferred[DnsAnswer] = Deferred()
        kept = self._cache.get(question, self._clock.monotonic())
        if kept is not None:
            answered.callback(kept)
            return answered
        waiting = self._waiting.setdefault(question, [])
        waiting.append(answered)
        if len(waiting) == 1:
            self._spawn.spawn("dns", self._ask(question))
        return answered

    async def _ask(self, question: _Question) -> None:
        name, record_type = question
        answer = DnsAnswer(Found.FAILED, 0.0, (), f"The question for {name} was given up")
        try:
            answer = await self._workers.run(ask, self._stub, name, record_type)
            self._cache.put(question, answer, answer.seconds, self._clock.monotonic())
        finally:
            for waiting in self._waiting.pop(question):
                waiting.callback(answer)


def _records(answer: DnsAnswer) -> Sequence[Any]:
    if answer.found is Found.NO_DOMAIN:
        raise NoSuchDomainError(answer.text)
    if answer.found is Found.FAILED:
        raise LookupFailedError(answer.text)
    return answer.records
