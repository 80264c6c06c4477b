"""Which mailbox provider a server belongs to, by its name: what counters are grouped by.

Guarantees: pure, never raises; one of `PROVIDERS`, or `OTHER`. The MX host decides, because a
company's own domain may be anybody's customer; the recipient's domain is asked where the host
says nothing, as a smarthost's does. Does not pace anything: lanes go by MX groups.
"""

from __future__ import annotations

import functools

__all__ = ["OTHER", "PROVIDERS", "provider_of"]

OTHER = "other"

# Suffixes of MX hosts, as the providers' zones publish them.
_OF_HOSTS = {
    "google.com": "google",
    "googlemail.com": "google",
    "psmtp.com": "google",
    "protection.outlook.com": "outlook",
    "olc.protection.outlook.com": "outlook",
    "mx.microsoft": "outlook",
    "hotmail.com": "outlook",
    "yahoodns.net": "yahoo",
    "mail.yahoo.co.jp": "yahoo japan",
    "mail.icloud.com": "apple",
    "apple.com": "apple",
    "gmx.net": "gmx",
    "web.de": "gmx",
    "mail.com": "gmx",
    "kundenserver.de": "ionos",
    "ionos.com": "ionos",
    "ionos.de": "ionos",
    "1and1.com": "ionos",
    "t-online.de": "t-online",
    "orange.fr": "orange",
    "wanadoo.fr": "orange",
    "free.fr": "free",
    "sfr.fr": "sfr",
    "laposte.net": "laposte",
    "libero.it": "libero",
    "iol.it": "libero",
    "tim.it": "tim",
    "aruba.it": "aruba",
    "arubapec.it": "aruba",
    "mail.ru": "mail.ru",
    "yandex.net": "yandex",
    "yandex.ru": "yandex",
    "qq.com": "qq",
    "netease.com": "netease",
    "comcast.net": "comcast",
    "charter.net": "spectrum",
    "zoho.com": "zoho",
    "zoho.eu": "zoho",
    "protonmail.ch": "proton",
    "messagingengine.com": "fastmail",
    "secureserver.net": "godaddy",
    "ovh.net": "ovh",
    "one.com": "one.com",
    "amazonaws.com": "amazon",
    "pphosted.com": "proofpoint",
    "ppe-hosted.com": "proofpoint",
    "mimecast.com": "mimecast",
    "barracudanetworks.com": "barracuda",
    "iphmx.com": "cisco",
    "mailgun.org": "mailgun",
    "naver.com": "naver",
    "wp.pl": "wp",
    "onet.pl": "onet",
    "seznam.cz": "seznam",
    "bluewin.ch": "swisscom",
    "terra.com": "terra",
}
# Domains of addresses, for where the host says nothing.
_OF_DOMAINS = {
    **dict.fromkeys(("gmail.com", "googlemail.com"), "google"),
    **dict.fromkeys(("outlook.com", "hotmail.com", "live.com", "msn.com"), "outlook"),
    **dict.fromkeys(("hotmail.it", "hotmail.fr", "hotmail.co.uk", "outlook.it"), "outlook"),
    **dict.fromkeys(("live.it", "live.fr", "live.co.uk", "outlook.de", "hotmail.de"), "outlook"),
    **dict.fromkeys(("yahoo.com", "ymail.com", "rocketmail.com", "aol.com", "yahoo.it"), "yahoo"),
    **dict.fromkeys(("yahoo.co.uk", "yahoo.fr", "yahoo.de", "yahoo.es"), "yahoo"),
    "yahoo.co.jp": "yahoo japan",
    **dict.fromkeys(("icloud.com", "me.com", "mac.com"), "apple"),
    **dict.fromkeys(("gmx.de", "gmx.net", "gmx.at", "gmx.ch", "gmx.com", "web.de"), "gmx"),
    **dict.fromkeys(("t-online.de", "magenta.de"), "t-online"),
    **dict.fromkeys(("orange.fr", "wanadoo.fr"), "orange"),
    **dict.fromkeys(("libero.it", "iol.it", "virgilio.it"), "libero"),
    **dict.fromkeys(("tim.it", "alice.it", "tin.it"), "tim"),
    **dict.fromkeys(("proton.me", "protonmail.com", "pm.me"), "proton"),
    **dict.fromkeys(("163.com", "126.com"), "netease"),
    **dict.fromkeys(("yandex.ru", "yandex.com", "ya.ru"), "yandex"),
    **{name: name.removesuffix(".fr") for name in ("free.fr", "sfr.fr")},
    **dict.fromkeys(("mail.ru", "bk.ru", "inbox.ru", "list.ru"), "mail.ru"),
    "laposte.net": "laposte",
    "qq.com": "qq",
    "comcast.net": "comcast",
    "fastmail.com": "fastmail",
}
PROVIDERS = frozenset({*_OF_HOSTS.values(), *_OF_DOMAINS.values()})


@functools.lru_cache(maxsize=4096)  # many mails go to few hosts
def provider_of(host: str, domain: str = "") -> str:
    """The provider's name.

    Args:
        host: the MX host that was spoken to.
        domain: the recipient's, in lower-case A-labels.
    """
    labels = host.lower().rstrip(".").split(".")
    for start in range(len(labels)):
        found = _OF_HOSTS.get(".".join(labels[start:]))
        if found is not None:
            return found
    return _OF_DOMAINS.get(domain, OTHER)
