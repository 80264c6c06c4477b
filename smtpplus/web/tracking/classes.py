"""From hits to responses: who each was (W4, W5), and what is kept of it.

A group's hits are judged in their order, each knowing what the same client asked before. Where
a client turns out to be a scanner, what it asked earlier in the group is judged again, and what
was written of its last seconds as a person's is corrected: the first clicks of a burst look like
a person's.

Guarantees: in privacy mode neither address nor agent is in a response, and opens are only
counted; they are looked at to judge, and of the address the memory holds a keyed hash of its
network alone, whose key ends with the process. The same request twice in a group is one response.
Pure but for its bounded memory.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from smtpplus.message.tracking_urls import HONEYPOT_LINK
from smtpplus.rules.opens import Access, Observed, OpenClass, Siblings, Verdict, classify
from smtpplus.values.response import Response, ResponseKind
from smtpplus.web.tracking.clients import ClientMemory
from smtpplus.web.tracking.hits import Hit, neighbourhood

__all__ = ["Classes", "Judged"]

_KINDS = {Access.OPEN: ResponseKind.OPENED, Access.CLICK: ResponseKind.CLICKED}
_HIDDEN = frozenset({HONEYPOT_LINK})
_PERSON = OpenClass.PERSON.value
_SAME_VISIT_SECONDS = 10.0  # before a scanner gave itself away
_KEY_OCTETS = 32
_HASH_OCTETS = 12


class Judged(NamedTuple):
    """What to record of a group; and, with their right class, what was recorded as a person's."""

    responses: Sequence[Response]
    mistaken: Sequence[Response] = ()


@dataclass(slots=True)
class Classes:
    """Judges groups of hits. `key` is what clients in privacy mode are told apart with."""

    clients: ClientMemory = field(default_factory=ClientMemory)
    key: bytes = field(default_factory=lambda: secrets.token_bytes(_KEY_OCTETS), repr=False)

    def responses(
        self,
        hits: Sequence[Hit],
        delivered_at: Mapping[int, float],
        private_lists: Collection[int],
    ) -> Judged:
        """What to record of these hits, in their order.

        Args:
            hits: oldest first.
            delivered_at: when a delivery was taken by the remote, where it was.
            private_lists: the ids of the lists in privacy mode.
        """
        clients = [self._client(hit, private_lists) for hit in hits]
        groups: dict[tuple[int, str], list[int]] = defaultdict(list)
        for number, hit in enumerate(hits):
            groups[hit.facts.delivery_id, clients[number]].append(number)
        verdicts: dict[int, Verdict] = {}
        mistaken: list[Response] = []
        for (delivery_id, client), numbers in groups.items():
            asked = [hits[number] for number in numbers]
            judged = self._judge(asked, client, delivered_at.get(delivery_id))
            verdicts.update(zip(numbers, judged, strict=True))
            if any(verdict.klass is OpenClass.SCANNER for verdict in judged):
                since = asked[0].at - _SAME_VISIT_SECONDS
                persons = self.clients.take_persons(delivery_id, client, since)
                mistaken += [replace(one, by=OpenClass.SCANNER.value) for one in persons]
        made = [
            _response(hit, verdicts[number].klass, is_private=hit.facts.list_id in private_lists)
            for number, hit in enumerate(hits)
        ]
        kept = _without_repeats(made)
        for number in kept:
            if made[number].by == _PERSON and not made[number].only_counted:
                self.clients.keep_person(clients[number], made[number])
        return Judged([made[number] for number in kept], mistaken)

    def _client(self, hit: Hit, private_lists: Collection[int]) -> str:
        """By what a client is known again; in privacy mode it cannot be led back to anybody."""
        network = neighbourhood(hit.address)
        if hit.facts.list_id not in private_lists:
            return network
        made = hashlib.blake2b(network.encode(), key=self.key, digest_size=_HASH_OCTETS)
        return made.hexdigest()

    def _judge(self, hits: Sequence[Hit], client: str, delivered_at: float | None) -> list[Verdict]:
        """Of one client and one delivery."""
        delivery_id, last = hits[0].facts.delivery_id, hits[-1]
        before = self.clients.siblings(delivery_id, client, hits[0].at)
        verdicts, after = self._in_order(hits, before, delivered_at)
        if after.scanner and not before.scanner and len(hits) > 1:
            known = replace(before, scanner=True)
            verdicts, after = self._in_order(hits, known, delivered_at)
        self.clients.keep(delivery_id, client, last.at, after)
        return verdicts

    def _in_order(
        self,
        hits: Sequence[Hit],
        siblings: Siblings,
        delivered_at: float | None,
    ) -> tuple[list[Verdict], Siblings]:
        verdicts = []
        for hit in hits:
            verdict = classify(
                Observed(
                    access=hit.access,
                    agent=hit.agent,
                    address=hit.address,
                    method="GET" if hit.method == "GET" else hit.method,
                    headers=hit.purposes,
                    at=hit.at,
                    delivered_at=delivered_at,
                    link=hit.link,
                    links_in_message=hit.links,
                    honeypot=hit.link in _HIDDEN,
                    siblings=siblings,
                )
            )
            verdicts.append(verdict)
            siblings = siblings.after(hit.link, hit.at, verdict)
        return verdicts, siblings


def _response(hit: Hit, klass: OpenClass, *, is_private: bool) -> Response:
    facts = hit.facts
    return Response(
        kind=_KINDS[hit.access],
        at=hit.at,
        account_id=facts.account_id,
        list_id=facts.list_id,
        message_id=facts.message_id,
        delivery_id=facts.delivery_id,
        by=klass.value,
        target=hit.target,
        link=hit.link or 0,
        client_ip="" if is_private else hit.address,
        agent="" if is_private else hit.agent,
        only_counted=is_private and hit.access is Access.OPEN,
    )


def _without_repeats(responses: Sequence[Response]) -> list[int]:
    """The numbers of those that are kept.

    Programs ask twice within a second; somebody may ask a thousand times.
    """
    first: dict[tuple[object, ...], int] = {}
    for number, one in enumerate(responses):
        first.setdefault((one.kind, one.delivery_id, one.link, one.client_ip, one.by), number)
    return list(first.values())
