"""The parts of ``docs/`` that are written by a program: ``python -m tests.documents``.

`docs/rfc-index.md` lists the RFC sections the code cites and the files that cite them;
`docs/operations.md` has the table of the configuration's keys. Tests hold both to the code.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from smtpplus.config import Config
from smtpplus.config.explain import explained

__all__ = ["ROOT", "TITLES", "config_table", "misspelt", "operations", "rfc_index"]

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- keys: begin -->", "<!-- keys: end -->"

TITLES = {
    1035: "Domain names: implementation and specification",
    1047: "Duplicate messages and SMTP",
    1428: "Transition from just-send-8 to 8-bit SMTP/MIME",
    1847: "Security multiparts for MIME",
    1870: "SMTP: message size declaration",
    2034: "SMTP: enhanced error codes",
    2045: "MIME part one: format of message bodies",
    2046: "MIME part two: media types",
    2047: "MIME part three: header extensions for non-ASCII text",
    2104: "HMAC",
    2142: "Mailbox names for common services, roles and functions",
    2231: "MIME parameter values and encoded words",
    2308: "Negative caching of DNS queries",
    2369: "List-Unsubscribe and other list header fields",
    2387: "multipart/related",
    2781: "UTF-16",
    2852: "SMTP: deliver by (DELIVERBY)",
    2919: "List-Id",
    2920: "SMTP: command pipelining",
    3030: "SMTP: large and binary messages (CHUNKING)",
    3207: "SMTP: secure SMTP over TLS (STARTTLS)",
    3339: "Date and time on the internet: timestamps",
    3454: "Preparation of internationalized strings (stringprep)",
    3461: "SMTP: delivery status notifications",
    3463: "Enhanced mail system status codes",
    3464: "Format for delivery status notifications",
    3676: "text/plain: format=flowed and delsp",
    3834: "Automatic responses to electronic mail",
    3848: "ESMTP and LMTP transmission types",
    4013: "SASLprep",
    4074: "DNS servers that misbehave when asked for AAAA",
    4180: "CSV files",
    4616: "SASL PLAIN",
    4648: "Base16, base32 and base64",
    4865: "SMTP: future message release",
    4954: "SMTP: authentication",
    5248: "Registry for SMTP enhanced status codes",
    5297: "Synthetic initialization vectors (AES-SIV)",
    5321: "Simple Mail Transfer Protocol",
    5322: "Internet Message Format",
    5802: "SCRAM",
    5803: "Storing SCRAM secrets",
    5890: "IDNA 2008: definitions",
    5892: "IDNA 2008: code points",
    6066: "TLS extensions",
    6068: "The mailto URI scheme",
    6152: "SMTP: 8-bit MIME transport",
    6177: "IPv6 address assignment to end sites",
    6265: "HTTP state management (cookies)",
    6376: "DKIM signatures",
    6409: "Message submission",
    6522: "multipart/report",
    6531: "SMTP: internationalized e-mail",
    6532: "Internationalized e-mail headers",
    6533: "Internationalized delivery status notifications",
    6710: "SMTP: message transfer priorities (MT-PRIORITY)",
    6758: "Tunnelling of message transfer priorities (MT-Priority)",
    6761: "Special-use domain names",
    7208: "SPF",
    7372: "E-mail authentication status codes",
    7435: "Opportunistic security",
    7504: "SMTP 521 and 556 reply codes",
    7505: "Null MX",
    7578: "multipart/form-data",
    7677: "SCRAM-SHA-256",
    7693: "BLAKE2",
    8058: "One-click unsubscribe",
    8301: "Cryptographic algorithms of DKIM",
    8314: "Cleartext considered obsolete: TLS for submission",
    8463: "Ed25519 for DKIM",
    8878: "Zstandard compression",
    9110: "HTTP semantics",
    9112: "HTTP/1.1",
    9266: "Channel bindings for TLS 1.3",
    9325: "Recommendations for the secure use of TLS",
    9422: "SMTP LIMITS",
    9477: "Complaint feedback loop addresses (CFBL)",
    9520: "Negative caching of DNS resolution failures",
}

_CITED = re.compile(
    r"RFC (?P<rfc>\d+)(?P<bis>bis)?"
    r"(?P<parts> §\d[\d.]*(?:(?:, | and | to )§\d[\d.]*)*)?"
)
_SECTION = re.compile(r"§([\d.]*\d)")
_MISSPELT = re.compile(r"\bRFC\d|\bRFC-\d|\brfc \d|\bRFC \d+,? (?:[Ss]ec|para)")

_HEAD = """\
# The RFC sections that the code cites

Written by `python -m tests.documents`; a test holds it and the code together. A citation in the
code has the form `# RFC 5321 §4.5.3.2.5`. Where the code departs from a section, the line says
so and why.
"""


def rfc_index() -> str:
    """``docs/rfc-index.md`` as it should be."""
    found: defaultdict[int, defaultdict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for path in _modules():
        name = str(path.relative_to(ROOT / "smtpplus"))
        for match in _CITED.finditer(path.read_text(encoding="utf-8")):
            for section in _SECTION.findall(match["parts"] or "") or [""]:
                found[int(match["rfc"])][section].add(name)
    lines = [_HEAD]
    for rfc in sorted(found):
        lines += [
            f"## RFC {rfc} {TITLES.get(rfc, '(title unknown)')}\n",
            "| § | where |",
            "|---|---|",
        ]
        lines += [
            f"| {section or 'in general'} | {', '.join(sorted(found[rfc][section]))} |"
            for section in sorted(found[rfc], key=_order)
        ]
        lines.append("")
    return "\n".join(lines)


def misspelt() -> list[str]:
    """Citations in another form than ours, with file and line."""
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in _modules()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if _MISSPELT.search(line)
    ]


def config_table() -> str:
    """The keys of the configuration."""
    lines = []
    for section, keys in explained(Config()).items():
        lines += [f"\n**[{section}]**\n", "| key | default | meaning |", "|---|---|---|"]
        lines += [
            f"| `{key}` | {'' if known['default'] is None else _code(known['default'])} "
            f"| {known['meaning']} |"
            for key, known in keys.items()
        ]
    return "\n".join(lines) + "\n"


def operations() -> str:
    """``docs/operations.md`` with the table as it should be."""
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{config_table()}\n{END}{rest.split(END)[1]}"


def _modules() -> list[Path]:
    return sorted((ROOT / "smtpplus").rglob("*.py"))


def _order(section: str) -> list[int]:
    return [int(part) for part in section.split(".") if part]


def _code(text: str) -> str:
    return f"`{text}`"


if __name__ == "__main__":
    (ROOT / "docs" / "rfc-index.md").write_text(rfc_index(), encoding="utf-8")
    (ROOT / "docs" / "operations.md").write_text(operations(), encoding="utf-8")
