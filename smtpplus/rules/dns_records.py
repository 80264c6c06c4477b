"""The DNS records a sender domain needs: ownership, DKIM, SPF, DMARC, tracking host, returns.

Guarantees: pure; the ownership value is bound to account and domain and cannot be made without
the installation's secret. Does not look anything up.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass

from smtpplus.values.submission import DkimKey, DkimKeyState

__all__ = [
    "DnsRecord",
    "dkim_value",
    "is_proven",
    "ownership_record",
    "records",
    "return_records",
    "tracking_record",
    "zone_text",
]

_MAX_STRING = 255  # RFC 1035 §3.3.14: a character-string's octets


@dataclass(frozen=True, slots=True)
class DnsRecord:
    """A record to be published.

    `purpose` is ownership, dkim, spf, dmarc, tracking, returns or returns-spf.
    `required` ones are checked by smtpplus; the others are suggestions, to be merged with what
    the domain has already.
    """

    purpose: str
    name: str
    value: str
    required: bool
    note: str = ""
    type: str = "TXT"

    @property
    def zone_line(self) -> str:
        """As a line of a zone file, a text split into strings."""
        value = zone_text(self.value) if self.type == "TXT" else self.value
        return f"{self.name}. IN {self.type} {value}"


def ownership_record(secret: bytes, account_id: int, domain: str) -> DnsRecord:
    """The record that proves that whoever holds `domain` wants it in this account."""
    said = f"smtpplus ownership {account_id} {domain.lower()}".encode()
    proof = hmac.new(secret, said, hashlib.sha256).hexdigest()[:40]
    return DnsRecord(
        "ownership",
        f"_smtpplus.{domain}",
        f"smtpplus-domain={proof}",
        required=True,
        note="Proves that the domain is yours. It has to stay.",
    )


def is_proven(record: DnsRecord, found: Iterable[str]) -> bool:
    """Is `record` among the TXT records `found`?"""
    wanted = record.value.encode()
    return any(
        hmac.compare_digest(wanted, text.strip().encode("utf-8", "replace")) for text in found
    )


def dkim_value(public_b64: str) -> str:
    """The key record of an RSA key (RFC 6376 §3.6.1)."""
    return f"v=DKIM1; k=rsa; p={public_b64}"


def tracking_record(host: str, target: str) -> DnsRecord:
    """The alias that makes `host` a name of ours; `target` is the tracking URL's host."""
    return DnsRecord(
        "tracking",
        host,
        f"{target}.",
        required=True,
        note="The name of tracked links; the TLS proxy needs a certificate for it.",
        type="CNAME",
    )


def return_records(bounce_domain: str, hostname: str) -> list[DnsRecord]:
    """What `bounce_domain` needs: mail to it comes to us, mail from it is ours (SPF1)."""
    return [
        DnsRecord(
            "returns",
            bounce_domain,
            f"10 {hostname}.",
            required=True,
            note="Bounces, and mail to unsubscribe, come to this machine.",
            type="MX",
        ),
        DnsRecord(
            "returns-spf",
            bounce_domain,
            f"v=spf1 a:{hostname} -all",
            required=True,
            note="SPF is asked of the envelope sender's domain (RFC 7208 §2.4): this one.",
        ),
    ]


def records(
    domain: str,
    ownership: DnsRecord,
    keys: Iterable[DkimKey],
    hostname: str,
    tracking: DnsRecord | None = None,
) -> list[DnsRecord]:
    """All records of `domain`; retired keys stay published until their mail has arrived."""
    found = [ownership]
    found += [
        DnsRecord(
            "dkim",
            f"{key.selector}._domainkey.{domain}",
            dkim_value(key.public_b64),
            required=key.state is not DkimKeyState.RETIRED,
            note=_KEY_NOTES[key.state],
        )
        for key in keys
    ]
    found += [
        DnsRecord(
            "spf",
            domain,
            f"v=spf1 a:{hostname} ~all",
            required=False,
            note="One SPF record a domain: where there is one, put its a: into it (RFC 7208 §3.2).",
        ),
        DnsRecord(
            "dmarc",
            f"_dmarc.{domain}",
            f"v=DMARC1; p=none; rua=mailto:dmarc@{domain}",
            required=False,
            note="Begin with p=none, read the reports, then quarantine and reject.",
        ),
    ]
    return found if tracking is None else [*found, tracking]


_KEY_NOTES = {
    DkimKeyState.NEXT: "The next key: publish it, then `smtpplus domain key DOMAIN activate`.",
    DkimKeyState.ACTIVE: "Signs.",
    DkimKeyState.RETIRED: "Signed before: leave it published for a week.",
}


def zone_text(value: str) -> str:
    """`value` as quoted strings of at most 255 octets."""
    parts = [value[start : start + _MAX_STRING] for start in range(0, len(value), _MAX_STRING)]
    escaped = (part.replace("\\", "\\\\").replace('"', '\\"') for part in parts)
    return " ".join(f'"{part}"' for part in escaped)
