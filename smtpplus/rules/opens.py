"""Who opened, who clicked: a person, a privacy proxy, a prefetch, a scanner; or unknown (W4, W5).

One sign is seldom enough: agents are forged, networks change hands. `classify` looks at the
strongest signs first (a link no person sees, HEAD, all links at once), then at what the agent
calls itself, then at the network and at how soon after delivery, and says how sure it is and why.
What other requests of the same delivery looked like comes in as a small summary, `Siblings`,
which `Siblings.after` carries on from request to request.

Guarantees: pure, bounded, nothing is raised whatever the arguments hold; equal arguments, equal
verdict. Confidence is 0 to 1 and a judgement, not a measured frequency.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from smtpplus.rules.open_agents import Agent, AgentKind, agent_kind
from smtpplus.rules.open_networks import Network, NetworkKind, network_of

__all__ = ["Access", "Observed", "OpenClass", "Siblings", "Verdict", "classify"]

_AT_ONCE_SECONDS = 10.0  # a person opens a few links in so short a time, not all of many
_SOON_SECONDS = 2.0  # nobody reads before this
_QUICK_SECONDS = 15.0  # a person may (a code to sign in); a scanner usually does
_FEW_LINKS = 3
_MOST_LINKS = 256  # distinct links that are told apart


class Access(enum.Enum):
    """What was requested."""

    OPEN = "open"
    CLICK = "click"


class OpenClass(enum.StrEnum):
    """Who is behind a request. Statistics show persons, and the rest beside them."""

    PERSON = "person"
    PRIVACY_PROXY = "privacy_proxy"  # somebody looked; who and where is hidden
    PREFETCH = "prefetch"  # fetched ahead: says that it arrived, not that it was seen
    SCANNER = "scanner"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Siblings:
    """The requests of one delivery from one client within the last seconds, this one not counted.

    `links` are the numbers of distinct links requested, `since` when the first of them was
    (Unix seconds). `scanner` is set once the client was found to be one.
    """

    links: frozenset[int] = frozenset()
    since: float = 0.0
    scanner: bool = False

    def after(self, link: int | None, at: float, verdict: Verdict) -> Siblings:
        """The summary with one more request: of `link` (None: the pixel), at `at`."""
        scanner = self.scanner or verdict.klass is OpenClass.SCANNER
        if at - self.since > _AT_ONCE_SECONDS or at < self.since:
            return Siblings(frozenset() if link is None else frozenset({link}), at, scanner)
        if link is None or len(self.links) >= _MOST_LINKS:
            return replace(self, scanner=scanner)
        return replace(self, links=self.links | {link}, scanner=scanner)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """One request for a pixel or a tracked link.

    Args:
        access: what was requested.
        agent: its User-Agent, "" without one.
        address: where from, "" where it is not known.
        network_owner: who owns that address's AS, where the operator has a database.
        method: the HTTP method.
        headers: the request's headers that say why, names in lower case (`sec-purpose`, …).
        at: when, Unix seconds.
        delivered_at: when the remote took the message; None: not known (yet).
        link: the link's number; None for the pixel.
        links_in_message: how many different tracked links the message has; 0: not known.
        honeypot: the link is the one that no person sees.
        siblings: what the same client requested of this delivery just before.
    """

    access: Access
    agent: str
    address: str = ""
    network_owner: str = ""
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    at: float = 0.0
    delivered_at: float | None = None
    link: int | None = None
    links_in_message: int = 0
    honeypot: bool = False
    siblings: Siblings = Siblings()


@dataclass(frozen=True, slots=True)
class Verdict:
    """Who it was, how sure (0 to 1), and why, as phrases for the page."""

    klass: OpenClass
    confidence: float
    reasons: tuple[str, ...]


def classify(seen: Observed) -> Verdict:
    """Who is behind the request."""
    agent = agent_kind(seen.agent)
    network = network_of(seen.address, seen.network_owner)
    verdict = _by_behaviour(seen) or _by_purpose(seen) or _by_agent(seen, agent, network)
    if verdict.klass is OpenClass.PERSON:
        verdict = _by_circumstances(seen, network) or verdict
    return verdict


def _verdict(klass: OpenClass, confidence: float, *reasons: str) -> Verdict:
    return Verdict(klass, confidence, reasons)


def _by_behaviour(seen: Observed) -> Verdict | None:
    """What no person does, whatever the agent says."""
    if seen.honeypot:
        return _verdict(OpenClass.SCANNER, 0.99, "followed a link that no person sees")
    if seen.method.upper() not in {"GET", ""}:
        return _verdict(OpenClass.SCANNER, 0.95, f"asked by {seen.method.upper()[:10]}")
    if seen.access is not Access.CLICK:
        return None
    links = seen.siblings.links | (frozenset() if seen.link is None else {seen.link})
    at_once = seen.at - seen.siblings.since <= _AT_ONCE_SECONDS
    if at_once and len(links) >= _FEW_LINKS and len(links) * 4 >= seen.links_in_message * 3:
        what = f"{len(links)} of {max(seen.links_in_message, len(links))} links"
        return _verdict(OpenClass.SCANNER, 0.92, f"followed {what} within seconds")
    return None


def _by_purpose(seen: Observed) -> Verdict | None:
    """The client says itself that nobody looked."""
    for name in ("sec-purpose", "purpose", "x-purpose", "x-moz"):
        value = seen.headers.get(name, "").lower()
        if "prefetch" in value or "prerender" in value or "preview" in value:
            return _verdict(OpenClass.PREFETCH, 0.95, f"{name} says {value[:40]}")
    return None


def _by_agent(seen: Observed, agent: Agent, network: Network | None) -> Verdict:
    if agent.kind in _PLAIN:
        klass, confidence = _PLAIN[agent.kind]
        return _verdict(klass, confidence, f"agent: {agent.name or agent.kind.value}")
    if agent.kind is AgentKind.IMAGE_PROXY:
        return _image_proxy(seen, agent, network)
    if agent.kind is AgentKind.BARE:
        return _bare(seen, network)
    if agent.kind in {AgentKind.MAIL_CLIENT, AgentKind.BROWSER}:
        confidence = 0.95 if agent.kind is AgentKind.MAIL_CLIENT else 0.9
        return _verdict(OpenClass.PERSON, confidence, f"agent: {agent.name or agent.kind.value}")
    if network is not None and network.kind in _BY_NETWORK:
        return _verdict(_BY_NETWORK[network.kind], 0.7, f"network: {network.owner}")
    what = "no agent" if agent.kind is AgentKind.EMPTY else "an agent that says nothing"
    if agent.kind is AgentKind.EMPTY and seen.access is Access.CLICK:
        return _verdict(OpenClass.SCANNER, 0.7, f"{what}, and browsers have one")
    return _verdict(OpenClass.UNKNOWN, 0.5, what)


_PLAIN = {
    AgentKind.PREFETCH: (OpenClass.PREFETCH, 0.97),
    AgentKind.SECURITY: (OpenClass.SCANNER, 0.97),
    AgentKind.MACHINE: (OpenClass.SCANNER, 0.9),
}
_BY_NETWORK = {
    NetworkKind.SECURITY: OpenClass.SCANNER,
    NetworkKind.PREFETCH: OpenClass.PREFETCH,
    NetworkKind.IMAGE_PROXY: OpenClass.PRIVACY_PROXY,
    NetworkKind.HOSTING: OpenClass.SCANNER,
}


def _image_proxy(seen: Observed, agent: Agent, network: Network | None) -> Verdict:
    reason = f"agent: {agent.name}"
    if seen.access is Access.CLICK:  # it fetches images; a link it does not follow
        return _verdict(OpenClass.SCANNER, 0.8, reason, "and it followed a link")
    if network is not None and network.kind in {NetworkKind.SECURITY, NetworkKind.HOSTING}:
        return _verdict(OpenClass.SCANNER, 0.7, reason, f"but the network is of {network.owner}")
    if seen.delivered_at is not None and seen.at - seen.delivered_at < _SOON_SECONDS:
        return _verdict(OpenClass.PREFETCH, 0.8, reason, "as soon as the message was delivered")
    known = network is not None and network.kind is NetworkKind.IMAGE_PROXY
    return _verdict(OpenClass.PRIVACY_PROXY, 0.97 if known else 0.9, reason)


def _bare(seen: Observed, network: Network | None) -> Verdict:
    """Mozilla/5.0 alone: Apple Mail Privacy Protection for images; for links, only scanners."""
    reason = "agent: Mozilla/5.0 and no more"
    if seen.access is Access.CLICK:
        return _verdict(OpenClass.SCANNER, 0.85, reason, "on a link")
    if network is not None and network.kind is NetworkKind.SECURITY:
        return _verdict(OpenClass.SCANNER, 0.9, reason, f"network: {network.owner}")
    if network is not None and network.kind in {NetworkKind.PREFETCH, NetworkKind.RELAY}:
        return _verdict(OpenClass.PREFETCH, 0.97, reason, f"network: {network.owner}")
    return _verdict(OpenClass.PREFETCH, 0.85, reason, "as Apple Mail Privacy Protection has it")


def _by_circumstances(seen: Observed, network: Network | None) -> Verdict | None:
    """What looks like a person by its agent, and is not by where and when."""
    soon = None if seen.delivered_at is None else seen.at - seen.delivered_at
    where = f"network: {network.owner}" if network is not None else ""
    quick = soon is not None and soon < _QUICK_SECONDS
    if seen.siblings.scanner:
        return _verdict(OpenClass.SCANNER, 0.9, "the same client was found to be a scanner")
    if network is not None and network.kind is NetworkKind.SECURITY:
        return _verdict(OpenClass.SCANNER, 0.95 if quick else 0.85, where)
    if soon is not None and soon < _SOON_SECONDS:
        what = "before" if soon < 0 else f"{soon:.1f} s after"
        return _verdict(OpenClass.SCANNER, 0.9, f"{what} the message was delivered")
    if network is None:
        return None
    if network.kind is NetworkKind.PREFETCH and seen.access is Access.OPEN:
        return _verdict(OpenClass.PREFETCH, 0.8, where)
    if network.kind is NetworkKind.HOSTING:
        if quick or seen.access is Access.CLICK:
            return _verdict(OpenClass.SCANNER, 0.8 if quick else 0.6, where)
        return _verdict(OpenClass.UNKNOWN, 0.5, where, "servers, or a person behind a VPN")
    return None
