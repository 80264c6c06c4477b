"""Whose network an address is in, as far as it matters for opens and clicks of mail.

A small table of what mailbox providers and mail security services fetch from, each with where it
is from, and words by which an AS's owner tells the same where the operator has such a database.
The table is a hint, not a register: networks change hands, so it only shifts a judgement that
`smtpplus.rules.opens` makes of several signs. Services on public clouds cannot be listed.

Guarantees: any text is looked up in microseconds; nothing is raised.
"""

from __future__ import annotations

import bisect
import enum
import functools
import ipaddress
import re
from dataclasses import dataclass

__all__ = ["Network", "NetworkKind", "is_ipv4", "network_of"]


class NetworkKind(enum.Enum):
    """What the owner's machines do with mail."""

    IMAGE_PROXY = "image proxy"
    PREFETCH = "prefetch"  # Apple's own: Mail Privacy Protection leaves through relays too
    RELAY = "privacy relay"  # people behind it, and Apple's prefetching
    SECURITY = "security scanner"
    HOSTING = "hosting"  # servers: few people browse from there


@dataclass(frozen=True, slots=True)
class Network:
    """The kind, and the owner's name."""

    kind: NetworkKind
    owner: str


# (owner, kind, source, networks). Read in November 2026 where no year is given.
_TABLE: tuple[tuple[str, NetworkKind, str, tuple[str, ...]], ...] = (
    (
        "Apple",
        NetworkKind.PREFETCH,
        "IANA IPv4 address space registry: 17/8 is Apple's; ARIN NET6-2620-149, NET6-2403-300",
        ("17.0.0.0/8", "2620:149::/32", "2403:300::/32", "2a01:b740::/32"),
    ),
    (
        "Google",
        NetworkKind.IMAGE_PROXY,
        "_netblocks.google.com (SPF) and ARIN: GOOGLE, the ranges image proxies were seen in",
        (
            "64.233.160.0/19", "66.102.0.0/20", "66.249.64.0/19", "72.14.192.0/18",
            "74.125.0.0/16", "108.177.8.0/21", "173.194.0.0/16", "209.85.128.0/17",
            "216.58.192.0/19", "2001:4860::/32", "2404:6800::/32", "2607:f8b0::/32",
            "2800:3f0::/32", "2a00:1450::/32", "2c0f:fb50::/32",
        ),
    ),
    (
        "Microsoft Exchange Online Protection",
        NetworkKind.SECURITY,
        "Microsoft 365 URLs and IP address ranges, Exchange Online, endpoint set 10",
        (
            "40.92.0.0/15", "40.107.0.0/16", "52.100.0.0/14", "104.47.0.0/17",
            "2a01:111:f400::/48", "2a01:111:f403::/48",
        ),
    ),
    (
        "Proofpoint",
        NetworkKind.SECURITY,
        "ARIN/RIPE: PROOFPOINT (AS22843, AS26211, AS13916), as published for allow-listing",
        (
            "67.231.144.0/20", "148.163.128.0/19", "205.220.160.0/19", "66.159.224.0/19",
            "208.84.64.0/22", "208.86.200.0/22", "91.209.104.0/24", "91.207.212.0/23",
            "62.209.50.0/23", "185.132.180.0/22", "185.183.28.0/22",
        ),
    ),
    (
        "Mimecast",
        NetworkKind.SECURITY,
        "Mimecast data centers and URLs; AS30031",
        (
            "170.10.128.0/21", "205.139.110.0/23", "207.211.30.0/23", "216.205.24.0/24",
            "63.128.21.0/24", "91.220.42.0/24", "146.101.78.0/24", "195.130.217.0/24",
            "185.58.84.0/22", "194.104.108.0/22", "51.163.158.0/23", "103.96.20.0/22",
            "124.47.150.0/24", "124.47.189.0/24", "41.74.192.0/20", "180.189.28.0/24",
        ),
    ),
    (
        "Barracuda",
        NetworkKind.SECURITY,
        "Barracuda Email Gateway Defense IP ranges",
        ("64.235.144.0/20", "209.222.80.0/21"),
    ),
    (
        "Symantec Email Security.cloud",
        NetworkKind.SECURITY,
        "Broadcom: Email Security.cloud IP ranges (MessageLabs)",
        ("67.219.240.0/20", "85.158.136.0/21", "117.120.16.0/21", "193.109.254.0/23",
         "194.106.220.0/23", "195.245.230.0/23", "216.82.240.0/20"),
    ),
)  # fmt: skip

# The same by the name of an AS's owner. Order matters: the first that fits.
_OWNERS: tuple[tuple[str, NetworkKind, str], ...] = (
    ("Barracuda", NetworkKind.SECURITY, r"barracuda"),
    ("Proofpoint", NetworkKind.SECURITY, r"proofpoint"),
    ("Mimecast", NetworkKind.SECURITY, r"mimecast"),
    ("Symantec", NetworkKind.SECURITY, r"symantec|messagelabs|broadcom"),
    ("Trend Micro", NetworkKind.SECURITY, r"trend ?micro"),
    ("Sophos", NetworkKind.SECURITY, r"sophos"),
    ("Cisco", NetworkKind.SECURITY, r"ironport|opendns"),
    ("Forcepoint", NetworkKind.SECURITY, r"forcepoint|websense"),
    ("Zscaler", NetworkKind.RELAY, r"zscaler"),
    ("Trellix", NetworkKind.SECURITY, r"fireeye|trellix|mcafee|skyhigh"),
    ("Fortinet", NetworkKind.SECURITY, r"fortinet"),
    ("Hornetsecurity", NetworkKind.SECURITY, r"hornetsecurity|vade ?secure"),
    ("Palo Alto Networks", NetworkKind.SECURITY, r"palo ?alto"),
    ("Apple", NetworkKind.PREFETCH, r"\bapple\b"),
    ("Yahoo", NetworkKind.IMAGE_PROXY, r"\byahoo\b|oath holdings"),
    # iCloud Private Relay leaves through these (mask-api.icloud.com/egress-ip-ranges.csv).
    ("Cloudflare", NetworkKind.RELAY, r"cloudflare"),
    ("Akamai", NetworkKind.RELAY, r"akamai"),
    ("Fastly", NetworkKind.RELAY, r"fastly"),
    ("Google Cloud", NetworkKind.HOSTING, r"google[ -]cloud"),
    ("Google", NetworkKind.IMAGE_PROXY, r"\bgoogle\b"),
    (
        "hosting",
        NetworkKind.HOSTING,
        (
            r"\bamazon|\baws\b|\bazure\b|microsoft|digital ?ocean|linode|hetzner|\bovh|vultr|choopa"
            r"|leaseweb|contabo|oracle cloud|alibaba|tencent|scaleway|ionos|rackspace|equinix|m247"
            r"|data ?cent(?:er|re)|hosting|colocation|\bvps\b"
        ),
    ),
)


_IPV4 = re.compile(r"(?:(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(?:\.(?!$)|$)){4}")


def is_ipv4(text: str) -> bool:
    """Is it an IPv4 address as `ipaddress` writes it? An eighth of the time that `ipaddress` takes."""
    return _IPV4.fullmatch(text) is not None


def network_of(address: str, owner: str = "") -> Network | None:
    """The network of an IP address, by table, else by the `owner` of its AS; None: of no interest.

    Args:
        address: IPv4 or IPv6, without brackets; anything else is in no network.
        owner: the AS's owner as a database names it, "" where there is none.
    """
    found = _by_address(address)
    return found if found is not None or not owner else _by_owner(owner[:200].lower())


@functools.lru_cache(maxsize=4_096)
def _by_address(address: str) -> Network | None:
    if is_ipv4(address):
        version, number = 4, int.from_bytes(bytes(map(int, address.split("."))), "big")
    else:
        try:
            parsed = ipaddress.IPv6Address(address)
        except ValueError:
            return None
        mapped = parsed.ipv4_mapped
        version, number = (6, int(parsed)) if mapped is None else (4, int(mapped))
    starts, ends, networks = _ranges()[version]
    place = bisect.bisect_right(starts, number) - 1
    return networks[place] if place >= 0 and number <= ends[place] else None


@functools.lru_cache(maxsize=1_024)
def _by_owner(owner: str) -> Network | None:
    for name, kind, pattern in _OWNERS:
        if re.search(pattern, owner):
            return Network(kind, name)
    return None


@functools.cache
def _ranges() -> dict[int, tuple[list[int], list[int], list[Network]]]:
    rows: dict[int, list[tuple[int, int, Network]]] = {4: [], 6: []}
    for owner, kind, _, networks in _TABLE:
        for text in networks:
            one = ipaddress.ip_network(text)
            row = (int(one.network_address), int(one.broadcast_address), Network(kind, owner))
            rows[one.version].append(row)
    sorted_rows = {
        version: sorted(found, key=lambda row: row[0]) for version, found in rows.items()
    }
    return {
        version: ([a for a, _, _ in found], [b for _, b, _ in found], [n for _, _, n in found])
        for version, found in sorted_rows.items()
    }
