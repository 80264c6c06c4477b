"""Names and words in User-Agents: the tables that `smtpplus.rules.open_agents` reads.

All in lower case. A name is known by plain words, or by a pattern where words are not enough.
Says for each table where it is from; decides nothing.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = [
    "IMAGE_PROXIES",
    "MACHINE_PATTERN",
    "MACHINE_WORDS",
    "MAIL_CLIENTS",
    "PREFETCHERS",
    "SECURITY",
    "Named",
]


class Named(NamedTuple):
    """A name, and by what in an agent it is known."""

    name: str
    words: tuple[str, ...]
    pattern: str = ""


# Mailbox providers' image proxies, by the name in the agent. Google: "(via ggpht.com
# GoogleImageProxy)". Yahoo, AOL: "YahooMailProxy; https://help.yahoo.com/kb/…SLN28749.html".
# Seznam, Rambler, Ukr.net and Mail.ru name themselves alike.
IMAGE_PROXIES = (
    Named("Google image proxy", ("googleimageproxy", "ggpht.com")),
    Named("Yahoo mail proxy", ("yahoomailproxy", "yahoocachesystem")),
    Named("Outlook image proxy", ("outlookimageproxy",)),
    Named("Seznam mail proxy", ("seznamemailproxy",)),
    Named("Rambler mail proxy", ("ramblermail",)),
    Named("Ukr.net mail proxy", ("mail.ukr.net proxy",)),
    Named("Mail.ru image proxy", ("mail.ruproxy", "mailruproxy", "mailru-proxy", "mail.ru proxy")),
    Named("Proton image proxy", ("protonimageproxy", "protonmailimageproxy")),
    Named("Fastmail image proxy", ("fastmail image proxy", "fastmailproxy", "fastmail-proxy")),
)
# Gmail fetches images ahead for people who are signed in, with this agent exactly
# (bird.com, "Gmail is prefetching images", 2021; GMass, "False opens in Gmail", 2023).
PREFETCHERS = (
    Named("Gmail prefetch", ("chrome/42.0.2311.135 safari/537.36 edge/12.246",)),
    Named("Apple mail data access", ("dataaccessd/",)),
)
# Mail security products that name themselves, and Microsoft's link checks.
SECURITY = (
    Named("Barracuda", ("barracuda",)),
    Named("Proofpoint", ("proofpoint", "pphosted")),
    Named("Mimecast", ("mimecast",)),
    Named("Microsoft Defender", ("safelinks", "microsoft office existence discovery")),
    Named("Microsoft Exchange", ("microsoft exchange/", "office 365 connectors")),
    Named("Microsoft preview", ("bingpreview", "microsoftpreview", "skypeuripreview")),
    Named("Trend Micro", ("trendmicro", "trend micro")),
    Named("Symantec", ("symantec", "messagelabs", "broadcom")),
    Named("Sophos", ("sophos",)),
    Named("Trellix", ("fireeye", "trellix", "mcafee", "skyhigh")),
    Named("Forcepoint", ("forcepoint", "websense")),
    Named("Cisco", ("ironport", "cisco email", "cisco-email", "cisco umbrella", "opendns")),
    Named("Fortinet", ("fortimail", "fortiguard", "fortisandbox")),
    Named("Check Point", ("checkpoint", "check point", "avanan")),
    Named("Hornetsecurity", ("hornetsecurity", "vadesecure", "vade secure")),
    Named("Palo Alto Networks", ("palo alto", "wildfire", "expanse")),
    Named("Zscaler", ("zscaler",)),
    Named("ClamAV", ("clamav",)),
    Named("VirusTotal", ("virustotal", "urlscan", "phishtank", "checkphish")),
    Named("Kaspersky", ("kaspersky",)),
    Named("ESET", (), r"\beset\b"),
    Named("Bitdefender", ("bitdefender",)),
    Named("SCMGUARD", ("scmguard",)),
)
MAIL_CLIENTS = (
    Named("Outlook", ("microsoft outlook", "ms-office", "msoffice")),
    Named("Outlook", ("outlook-ios", "outlook-android", "outlook-express"), r"\bmapi \d"),
    Named("Microsoft Office", (), r"^microsoft office/"),
    Named("Thunderbird", ("thunderbird/", "betterbird/", "postbox/", "lightning/")),
    Named("Apple Mail", ("applemail",), r"\bmail/\d[\d.]* cfnetwork"),
    Named("Windows Mail", ("windows live mail", "windowsmail", "windowscommunicationsapps")),
    Named("eM Client", ("emclient", "em client")),
    Named("Airmail", (), r"\bairmail"),
    Named("Evolution", (), r"\bevolution[/ ]\d"),
    Named("KMail", ("kontact",), r"\bkmail"),
    Named("Notes", ("lotus-notes", "lotusnotes", "hcl notes")),
    Named("Mailbird", ("mailbird",)),
    Named("The Bat!", ("the bat!",)),
    Named("Spark", (), r"\bspark(?:desktop)?/\d[\d.]* "),
    Named("Mobile mail", ("k-9 mail", "fairemail", "bluemail", "edisonmail", "canarymail")),
    Named("Samsung Email", ("samsungemail", "com.samsung.android.email")),
    Named("Yahoo Mail app", ("yahoomobilemail",)),
    Named("Gmail app", (), r"\bgmail/\d|com\.google\.android\.gm\b"),
)

# Words by which programs that are no person's call themselves. What runs a browser for a
# machine (headless, synthetic monitoring) keeps the browser's agent and adds its name.
# Plain words are looked for as they are; those that need their surroundings are patterns.
MACHINE_WORDS: tuple[str, ...] = (
    # what it does
    "robot", "crawl", "spider", "sipder", "slurp", "scraper", "scraping", "scrapy", "archiver",
    "archivebox", "indexer", "harvest", "extractor", "exractor", "collapsify", "checklink",
    "link check", "links check", "linkcheck", "checker", "checking", "validat", "verify",
    "verifier", "verification", "preview", "onebox", "expander", "unfurl", "inspect", "analyser",
    "analyzer", "audit", "vulnerab", "probe", "monitor", "uptime", "heartbeat", "health",
    "pingdom", "optimizer", "optimiser", "semantic", "classif", "insights", "favicon",
    "transcoder", "weblight", "fuzz", "webhook", "callback", "daemon", "scheduler", "integration",
    "workflow", "flow/", "connector", "catalog", "subscriber", "feeder", "feedbin", "feeddler",
    "feedburner", "feedly", "reeder", "readkit", "newsblur", "newspaper", "search console",
    "intelligence", "trackable", "downcast",
    # a browser run by a machine
    "headless", "lighthouse", "page speed", "pagespeed", "pageburst", "playwright", "puppeteer",
    "selenium", "webdriver", "phantomas", "phantomjs", "cypress/", "synthetic", "benchmark",
    "apachebench", "loadtime", "speedcurve", "statuscake", "site24x7", "catchpoint",
    "gomezagent", "dareboost", "dejaclick", "observatory", "scope3", "taginspector",
    "tracemyfile", "marketgoo", "morningscore", "securityheaders", "onetrust", "datanyze",
    "foregenix", "sparkler", "dmbrowser", "webmoney advisor", "fakeuser", "fake_user",
    "user-agent", "useragent", "user agent", "default_user_agent",
    # libraries and tools
    "http-client", "httpclient", "http_client", "http client", "http-kit", "httpkit",
    "httpurlconnection", "httpunit", "libwww-perl", "lwp-", "python", "firephp", "axios",
    "okhttp", "guzzle", "undici", "got/", "requests", "request/", "request-", "restsharp",
    "rest-client", "scalaj", "jersey", "jetty", "grpc", "winhttp", "wget", "aria2", "httpie",
    "postman", "insomnia/", "go-http", "resty", "faraday", "mechanize", "typhoeus", "aiohttp",
    "urllib", "pycurl", "hackney", "reqwest", "colly", "nutch", "heritrix", "httrack",
    "sitesucker", "igetter", "webcopier", "webzip", "offline explorer", "nuclei", "acunetix",
    "nikto", "sqlmap", "nmap", "masscan", "zgrab", "censys", "shodan", "burpcollaborator",
    "jorgee", "arachni",
    # services
    "externalhit", "externalagent", "externalua", "whatsapp/", "snapchat-proxy", "mediapartners",
    "adwords", "googleother", "google-", "-google", "appengine", "googleassociation",
    "googlemessages", "duplexweb", "zapier", "ifttt", "cloudfront", "cortex/", "chatgpt",
    "openai", "claude", "anthropic", "perplexity", "owler", "manus-", "devin/", "cursor/",
)  # fmt: skip
MACHINE_PATTERN = (
    r"(?<!cu)bots?(?:\b|_)|\bbot|(?<!mozac)fetch|(?<!cam)scan(?:ner|ning|\b)|\bping\b|\brecon\b"
    r"|proxy\b|\bcron\b|(?<![0-9])rss(?![0-9])|reader\b|\bseo|seo\b|\bsplash\b|\bptst|\brigor\b"
    r"|\bmixnode\b|\bbw/1\.|^anonymous,|^thumbor|select \w+\(|\blwp\b|\bjava/|\bruby|\bperl\b"
    r"|\bphp/|\bnode(?:[-/]|js)|\bcurl|\bgo \d|\bahc/\d|\bwvs\b|\bswcd\b|\bgpt|\bai\b"
)
