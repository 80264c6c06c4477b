"""Labelled requests: what was seen, and who it was. Each line is one case.

``label | open or click | agent | seconds after delivery | what else``; `agent` is a name of
`AGENTS` or a User-Agent as it is. What else: ``ip=``, ``owner=``, ``HEAD``, ``honeypot``,
``links=n/m`` (this is the n-th of m links within seconds), ``after-scanner``, ``header: value``.
Agents are as seen in the wild; addresses are inside the networks named or of documentation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from smtpplus.rules.opens import Access, Observed, OpenClass, Siblings

__all__ = ["cases"]

_AT = 1_794_300_000.0
_CHROME = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/"
AGENTS = {
    "apple-mpp": "Mozilla/5.0",
    "gmail-proxy": "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
    "gmail-prefetch": f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_CHROME}42.0.2311.135 Safari/537.36 Edge/12.246 Mozilla/5.0",
    "gmail-prefetch-2": f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_CHROME}42.0.2311.135 Safari/537.36 Edge/12.246",
    "yahoo-proxy": "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html",
    "yahoo-proxy-2": "Mozilla/5.0 (compatible; YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html)",
    "seznam-proxy": "Mozilla/5.0 SeznamEmailProxy/2.0.174",
    "rambler-proxy": "RamblerMail/6.0 (incompatible; ImageProxy/6.0)",
    "ukrnet-proxy": f"Mozilla/5.0 (Windows NT 10.0) {_CHROME}55.0.2883.87 Safari/537.36 (via secureurl.fwdcdn.com - mail.ukr.net proxy)",
    "outlook-16": "Mozilla/4.0 (compatible; ms-office; MSOffice 16)",
    "outlook-2016": "Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.14931; Pro)",
    "outlook-14": "Microsoft Office/14.0 (Windows NT 6.1; Microsoft Outlook 14.0.7143; Pro)",
    "outlook-msie": "Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 6.1; WOW64; Trident/7.0; SLCC2; .NET CLR 2.0.50727; Microsoft Outlook 14.0.7113; ms-office; MSOffice 14)",
    "outlook-mail": "Microsoft Office/16.0 (Microsoft Outlook Mail 16.0.8008; Pro)",
    "outlook-ios": "Outlook-iOS/709.2189947.prod.iphone (3.24.0)",
    "outlook-android": "Outlook-Android/2.0",
    "outlook-express": "Outlook-Express/7.0 (MSIE 7.0; Windows NT 6.1; Trident/7.0; SLCC2; TmstmpExt)",
    "outlook-mac": "MacOutlook/16.78.23100802 (Intelx64 Mac OS X Version 13.6 (Build 22G120)) Microsoft Outlook",
    "thunderbird": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Thunderbird/128.4.0",
    "thunderbird-old": "Mozilla/5.0 (Windows NT 10.0; WOW64; rv:60.0) Gecko/20100101 Thunderbird/60.7.0 Lightning/6.2.7",
    "apple-mail": "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)",
    "iphone-mail": "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
    "ipad-mail": "Mozilla/5.0 (iPad; CPU OS 16_6_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
    "em-client": "eMClient/10.1.4828.0",
    "airmail": "Airmail/5.0 (Macintosh; macOS 14.1)",
    "lotus": "Mozilla/4.0 (compatible; Lotus-Notes/6.0; Windows-NT)",
    "bat": "The Bat! 9.3.4",
    "chrome": f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_CHROME}130.0.0.0 Safari/537.36",
    "chrome-mac": f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {_CHROME}130.0.0.0 Safari/537.36",
    "chrome-android": f"Mozilla/5.0 (Linux; Android 10; K) {_CHROME}130.0.0.0 Mobile Safari/537.36",
    "webview": "Mozilla/5.0 (Linux; Android 14; Pixel 8 Build/AP2A.240805.005; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/130.0.6723.58 Mobile Safari/537.36",
    "edge": f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_CHROME}130.0.0.0 Safari/537.36 Edg/130.0.2849.46",
    "firefox": "Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0",
    "safari": "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.6 Safari/605.1.15",
    "iphone-safari": "Mozilla/5.0 (iPhone; CPU iPhone OS 17_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.6 Mobile/15E148 Safari/604.1",
    "ie11": "Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko",
    "opera": f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_CHROME}128.0.0.0 Safari/537.36 OPR/114.0.0.0",
    "samsung": "Mozilla/5.0 (Linux; Android 13; SAMSUNG SM-S918B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/22.0 Chrome/111.0.5563.116 Mobile Safari/537.36",
    "dalvik": "Dalvik/2.1.0 (Linux; U; Android 12; SM-G970U Build/SP1A.210812.016)",
    "cfnetwork": "Mail/3774.600.62 CFNetwork/1498.700.2 Darwin/23.6.0",
    "headless": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/100.0.4896.88 Safari/537.36",
    "safelinks": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Microsoft Office Existence Discovery",
    "bingpreview": f"Mozilla/5.0 (Windows NT 6.1; WOW64) {_CHROME}67.0 Safari/537.36 BingPreview/1.0b",
}

TABLE = """
prefetch | open | apple-mpp | 30 |
prefetch | open | apple-mpp | 30 | ip=17.58.99.1
prefetch | open | apple-mpp | 4000 | ip=17.253.144.10
prefetch | open | apple-mpp | 3 | ip=2620:149:af0::10
prefetch | open | apple-mpp | 90 | ip=203.0.113.9 owner=CLOUDFLARENET
prefetch | open | apple-mpp | 90 | ip=203.0.113.9 owner=Akamai International B.V.
prefetch | open | apple-mpp | 90 | ip=203.0.113.9 owner=FASTLY
prefetch | open | apple-mpp | none |
prefetch | open | apple-mpp | 1 |
prefetch | open | apple-mpp | 86400 | ip=198.51.100.7
scanner | open | apple-mpp | 2 | ip=67.231.152.7
scanner | open | apple-mpp | 2 | ip=209.222.82.3
scanner | open | apple-mpp | 60 | ip=203.0.113.9 owner=MIMECAST-UK
scanner | click | apple-mpp | 60 |
scanner | click | apple-mpp | 3 | ip=198.51.100.7
privacy_proxy | open | gmail-proxy | 60 |
privacy_proxy | open | gmail-proxy | 60 | ip=66.249.93.10
privacy_proxy | open | gmail-proxy | 7200 | ip=66.102.8.1
privacy_proxy | open | gmail-proxy | 60 | ip=74.125.210.20
privacy_proxy | open | gmail-proxy | 60 | ip=203.0.113.9 owner=GOOGLE
privacy_proxy | open | gmail-proxy | none | ip=66.249.83.1
privacy_proxy | open | gmail-proxy | 5 | ip=66.249.83.1
privacy_proxy | open | gmail-proxy | 60 | ip=198.51.100.7
prefetch | open | gmail-proxy | 0.5 | ip=66.249.83.1
scanner | open | gmail-proxy | 60 | ip=203.0.113.9 owner=AMAZON-02
scanner | open | gmail-proxy | 60 | ip=148.163.130.1
scanner | click | gmail-proxy | 60 |
prefetch | open | gmail-prefetch | 2 | ip=66.249.93.11
prefetch | open | gmail-prefetch | 30 |
prefetch | open | gmail-prefetch | none |
prefetch | open | gmail-prefetch-2 | 30 | ip=66.102.9.1
prefetch | click | gmail-prefetch | 30 |
privacy_proxy | open | yahoo-proxy | 60 |
privacy_proxy | open | yahoo-proxy | 600 | ip=203.0.113.9 owner=YAHOO-GQ1
privacy_proxy | open | yahoo-proxy-2 | 60 |
privacy_proxy | open | seznam-proxy | 60 |
privacy_proxy | open | rambler-proxy | 60 |
privacy_proxy | open | ukrnet-proxy | 60 |
scanner | click | yahoo-proxy | 60 |
person | open | outlook-16 | 60 |
person | open | outlook-16 | 5 |
person | open | outlook-16 | none |
person | open | outlook-2016 | 60 |
person | open | outlook-14 | 3600 |
person | open | outlook-msie | 60 |
person | open | outlook-mail | 60 |
person | open | outlook-ios | 60 |
person | open | outlook-android | 60 |
person | open | outlook-express | 60 |
person | open | outlook-mac | 60 |
person | open | thunderbird | 60 |
person | open | thunderbird | none |
person | open | thunderbird-old | 60 |
person | open | apple-mail | 60 |
person | open | iphone-mail | 60 |
person | open | iphone-mail | 6 |
person | open | ipad-mail | 60 |
person | open | em-client | 60 |
person | open | airmail | 60 |
person | open | lotus | 60 |
person | open | bat | 60 |
person | open | chrome | 60 |
person | open | chrome | none |
person | open | chrome-mac | 60 |
person | open | chrome-android | 60 |
person | open | webview | 60 |
person | open | edge | 60 |
person | open | firefox | 60 |
person | open | safari | 60 |
person | open | iphone-safari | 60 |
person | open | ie11 | 60 |
person | open | opera | 60 |
person | open | samsung | 60 |
person | open | dalvik | 60 |
person | open | cfnetwork | 60 |
person | click | chrome | 60 |
person | click | chrome | 6 | ip=198.51.100.7
person | click | chrome-mac | 3 |
person | click | chrome-android | 60 | ip=203.0.113.9 owner=DTAG Internet service provider
person | click | webview | 60 |
person | click | edge | 600 | ip=203.0.113.9 owner=TELECOM-ITALIA
person | click | firefox | 60 |
person | click | safari | 60 |
person | click | iphone-safari | 60 |
person | click | iphone-safari | 60 | ip=203.0.113.9 owner=CLOUDFLARENET
person | click | safari | 60 | ip=203.0.113.9 owner=FASTLY
person | click | ie11 | 60 |
person | click | opera | 60 |
person | click | samsung | 60 |
person | click | chrome | none |
person | click | chrome | 60 | links=2/2
person | click | chrome | 60 | links=3/12
person | click | chrome | 60 | links=8/12
person | click | firefox | 60 | links=2/3
person | open | chrome | 60 | links=3/3
person | open | chrome | 60 | ip=203.0.113.9 owner=ZSCALER-SJC
person | open | chrome | 60 | sec-fetch-dest: image
person | click | chrome | 60 | ip=not-an-address
person | click | chrome | 60 | ip=::ffff:203.0.113.9
scanner | click | chrome | 60 | links=3/3
scanner | click | chrome | 60 | links=4/4
scanner | click | chrome | 60 | links=9/12
scanner | click | firefox | 3 | links=12/12
scanner | click | edge | 60 | links=20/20
scanner | click | iphone-safari | 60 | links=6/8
scanner | click | chrome | 60 | honeypot
scanner | click | iphone-safari | 86400 | honeypot
scanner | click | edge | none | honeypot
scanner | open | outlook-16 | 60 | honeypot
scanner | click | chrome | 60 | HEAD
scanner | open | chrome | 60 | HEAD
scanner | open | outlook-16 | 60 | HEAD
scanner | open | apple-mpp | 60 | HEAD
scanner | open | gmail-proxy | 60 | HEAD
scanner | click | chrome | 60 | OPTIONS
scanner | click | chrome | 60 | PROPFIND
scanner | click | chrome | 0.4 |
scanner | click | chrome | 1.9 |
scanner | click | edge | 0 |
scanner | click | safari | -1.2 |
scanner | open | chrome | 0.3 |
scanner | open | outlook-16 | 1 |
scanner | open | iphone-mail | -0.5 |
scanner | click | chrome | 60 | ip=67.231.152.7
scanner | click | chrome | 5 | ip=148.163.140.9
scanner | click | edge | 60 | ip=205.220.178.4
scanner | click | chrome | 60 | ip=64.235.150.2
scanner | click | chrome | 60 | ip=209.222.87.255
scanner | click | chrome | 60 | ip=205.139.111.44
scanner | click | chrome | 60 | ip=170.10.133.1
scanner | click | chrome | 60 | ip=40.94.29.10 owner=MICROSOFT-CORP-MSN-AS-BLOCK
scanner | click | chrome | 60 | ip=40.107.20.1
scanner | click | chrome | 60 | ip=104.47.10.36
scanner | click | edge | 4 | ip=52.102.3.4
scanner | open | chrome | 60 | ip=85.158.142.1
scanner | open | firefox | 60 | ip=91.220.42.10
scanner | open | chrome | 60 | ip=2a01:111:f400:7e1a::1
scanner | click | chrome | 60 | ip=203.0.113.9 owner=Barracuda Networks, Inc.
scanner | click | chrome | 60 | ip=203.0.113.9 owner=PROOFPOINT-ASN-US-WEST
scanner | click | chrome | 60 | ip=203.0.113.9 owner=Trend Micro Incorporated
scanner | click | chrome | 60 | ip=203.0.113.9 owner=Sophos Ltd
scanner | click | chrome | 60 | ip=203.0.113.9 owner=Hornetsecurity GmbH
scanner | click | chrome | 60 | ip=203.0.113.9 owner=AMAZON-AES
scanner | click | chrome | 60 | ip=203.0.113.9 owner=DigitalOcean, LLC
scanner | click | firefox | 60 | ip=203.0.113.9 owner=HETZNER-AS
scanner | click | firefox | 5 | ip=203.0.113.9 owner=OVH SAS
scanner | click | chrome | 60 | ip=203.0.113.9 owner=GOOGLE-CLOUD-PLATFORM
scanner | open | chrome | 5 | ip=203.0.113.9 owner=AMAZON-02
unknown | open | chrome | 600 | ip=203.0.113.9 owner=AMAZON-02
unknown | open | firefox | 600 | ip=203.0.113.9 owner=M247 Europe
scanner | click | chrome | 60 | after-scanner
scanner | open | outlook-16 | 60 | after-scanner
prefetch | open | chrome | 60 | sec-purpose: prefetch
prefetch | click | chrome | 60 | sec-purpose: prefetch;prerender
prefetch | click | chrome | 60 | purpose: prefetch
prefetch | click | safari | 60 | x-purpose: preview
prefetch | click | firefox | 60 | x-moz: prefetch
prefetch | open | safari | 600 | ip=17.58.99.1
person | click | safari | 600 | ip=17.58.99.1
scanner | click | safelinks | 60 |
scanner | open | safelinks | 60 |
scanner | click | bingpreview | 60 |
scanner | click | headless | 60 |
scanner | open | headless | 600 |
scanner | click | Barracuda Sentinel (EE) | 60 |
scanner | open | Mozilla/5.0 (compatible; Barracuda Sentinel) | 60 |
scanner | click | Mozilla/5.0 (compatible; Proofpoint URL Defense) | 60 |
scanner | click | Mimecast-URL-Protect/1.0 | 60 |
scanner | click | Mozilla/5.0 (Windows NT 6.1; WOW64; rv:40.0) Gecko/20100101 Firefox/40.1 Symantec | 60 |
scanner | click | SkypeUriPreview Preview/0.5 | 60 |
scanner | open | Microsoft Exchange/15.20 (Windows NT 10.0; Win64; x64) | 60 |
scanner | open | Office 365 Connectors | 60 |
scanner | click | SCMGUARD | 60 |
scanner | click | curl/8.4.0 | 60 |
scanner | open | curl/8.4.0 | 600 |
scanner | click | Wget/1.21.3 | 60 |
scanner | click | python-requests/2.31.0 | 60 |
scanner | click | Python/3.9 aiohttp/3.8.1 | 60 |
scanner | click | Go-http-client/2.0 | 60 |
scanner | click | okhttp/4.10.0 | 60 |
scanner | click | Java/17.0.2 | 60 |
scanner | click | Apache-HttpClient/4.5.1 (Java/1.8.0_172) | 60 |
scanner | click | axios/1.7.2 | 60 |
scanner | click | node-fetch/1.0 (+https://github.com/bitinn/node-fetch) | 60 |
scanner | click | libwww-perl/6.67 | 60 |
scanner | open | lua-resty-http/0.10 (Lua) ngx_lua/10019 | 60 |
scanner | open | AHC/2.1 | 60 |
scanner | open | Amazon CloudFront | 60 |
scanner | open | Jetty/9.4.42.v20210604 | 60 |
scanner | open | cortex/1.0 | 60 |
scanner | click | Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots) | 60 |
scanner | click | facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php) | 60 |
scanner | click | WhatsApp/2.23.20.0 A | 60 |
scanner | click | TelegramBot (like TwitterBot) | 60 |
scanner | click | Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html) | 60 |
scanner | click | Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm) | 60 |
scanner | click | Snap URL Preview Service; bot; snapchat; https://developers.snap.com/robots | 60 |
scanner | click | W3C-checklink/4.5 [4.160] libwww-perl/5.823 | 60 |
scanner | click | HubSpot Connect | 60 |
prefetch | open | iOS/16.5.1 (20F75) dataaccessd/1.0 | 60 |
unknown | open | - | 60 |
unknown | open | - | none |
scanner | click | - | 60 |
scanner | open | - | 60 | ip=67.231.152.7
prefetch | open | - | 60 | ip=17.58.99.1
privacy_proxy | open | - | 60 | ip=66.249.83.1
unknown | open | <script>alert(1)</script> | 60 |
"""


def cases() -> Iterator[tuple[str, OpenClass, Observed]]:
    """Each case: its line, who it was, what was seen."""
    for line in TABLE.strip().splitlines():
        label, access, agent, seconds, what = (part.strip() for part in line.split(" |"))
        agent = "" if agent == "-" else AGENTS.get(agent, agent)
        delivered = None if seconds == "none" else _AT - float(seconds)
        seen = Observed(
            access=Access(access),
            agent=agent,
            at=_AT,
            delivered_at=delivered,
            link=0 if access == "click" else None,
            **_more(what),
        )
        yield line, OpenClass(label), seen


def _more(what: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if " owner=" in what:
        what, _, owner = what.partition(" owner=")
        found["network_owner"] = owner
    if what.startswith("ip="):
        found["address"] = what.removeprefix("ip=")
    elif what.startswith("links="):
        number, total = map(int, what.removeprefix("links=").split("/"))
        found["links_in_message"] = total
        found["siblings"] = Siblings(frozenset(range(1, number)), _AT - 3)
    elif what == "after-scanner":
        found["siblings"] = Siblings(scanner=True)
    elif what == "honeypot":
        found["honeypot"] = True
    elif ": " in what:
        name, _, value = what.partition(": ")
        found["headers"] = {name: value}
    elif what:
        found["method"] = what
    return found
