"""What a User-Agent says of who fetched.

`agent_kind` reads the tables of `smtpplus.rules.open_agent_names` in order: what names itself, then
what has the shape of a browser or a mail client, then the rest. Made for opens and clicks of mail:
a mail client is a person here, and an image proxy is not a crawler.

Guarantees: any text is classified, in linear time, the last few thousand from memory; nothing is
raised. An agent can be forged: `smtpplus.rules.opens` weighs it against the rest.
"""

from __future__ import annotations

import enum
import functools
import re
from dataclasses import dataclass

from smtpplus.rules.open_agent_names import (
    IMAGE_PROXIES,
    MACHINE_PATTERN,
    MACHINE_WORDS,
    MAIL_CLIENTS,
    PREFETCHERS,
    SECURITY,
)

__all__ = ["Agent", "AgentKind", "agent_kind"]

_MAX_LENGTH = 500  # characters that are looked at


class AgentKind(enum.Enum):
    """What kind of program an agent says it is."""

    IMAGE_PROXY = "image proxy"  # fetches when a person looks, and hides the person
    PREFETCH = "prefetch"  # fetches before anybody looks
    SECURITY = "security scanner"
    MACHINE = "machine"  # crawler, library, monitor, link preview
    MAIL_CLIENT = "mail client"
    BROWSER = "browser"
    BARE = "bare"  # nothing but "Mozilla/5.0": Apple's privacy proxy, and scanners
    EMPTY = "empty"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Agent:
    """The kind, and the name or word it was known by ("" where by its shape)."""

    kind: AgentKind
    name: str = ""


_NAMED = tuple(
    (kind, one.name, one.words, re.compile(one.pattern) if one.pattern else None)
    for kind, table in (
        (AgentKind.IMAGE_PROXY, IMAGE_PROXIES),
        (AgentKind.PREFETCH, PREFETCHERS),
        (AgentKind.SECURITY, SECURITY),
        (AgentKind.MAIL_CLIENT, MAIL_CLIENTS),
    )
    for one in table
)
_MACHINE = re.compile(MACHINE_PATTERN)
_ADDRESS = re.compile(
    r"https?:|www\.|\(at\)|[\w.+]@[\w-]{1,63}\.[\w.-]{0,60}[a-z]{2}"
    r"|(?<![a-z0-9-])(?=[0-9-]{0,20}[a-z])[a-z0-9-]{1,63}"
    r"\.(?:com|net|org|io|ai|co|eu|de|me|gg|gd|ly|fm|app|dev)\b(?![./])"
)
# What a person's own program has: an engine, a platform, a phone's profile, an app's network code.
_PERSON_WORDS = (
    "applewebkit/", "applewebkit /", "iphone", "ipad", "android", "windows nt", "windows phone",
    "darwin", "morphos", "beos", "inferno", "konqueror", "blackberry", "symbian", "nokia", "samsung",
    "sonyericsson", "amiga", "playstation", "nintendo", "roku", "sonos", "htc", "ucweb",
    "googleapp", "quicktime", "fuboplayer", "goggalaxy", "[fban/", "mozacfetch", "cfnetwork/",
    "midp", "up.browser", "profile/", "j2me",
)  # fmt: skip
_PERSON_PATTERN = re.compile(
    r"^mozilla ?/ ?\d\.\d+ \((?:windows|macintosh|x11|linux|ipod|mobile|wii|smart-tv|web0s"
    r"|tizen|cros|bb10|os/2|s60|webos|psp|maemo)"
    r"|^opera/\d|\bmsie \d|trident/\d|gecko/\w|presto/\d|khtml/\d|goanna/\d|dalvik/\d|\bios\b"
    r"|^(?:lynx|elinks|links|w3m|ncsa_mosaic|dillo|netsurf|ibrowse|galeon|icab|lg-)"
)
_ENGINE_WORDS = (
    "msie ", "trident/", "gecko", "presto/", "applewebkit", "khtml", "chrome/", "firefox/",
    "safari",
)  # fmt: skip
_ONLY_COMPATIBLE = re.compile(r"mozilla/\d\.\d+\W*(?:\([^()]*\))?[^()]*")
_PAYLOAD = re.compile(r"[<>\"'=]")  # somebody trying something: no name at all
_DIGIT = re.compile(r"[0-9]")
_BARE = re.compile(r"mozilla/\d\.\d+")


def agent_kind(agent: str) -> Agent:
    """The kind of program that `agent`, a User-Agent as it came, names."""
    return _kind(agent[:_MAX_LENGTH].strip().lower())


@functools.lru_cache(maxsize=4_096)
def _kind(agent: str) -> Agent:
    if not agent:
        return Agent(AgentKind.EMPTY)
    if _BARE.fullmatch(agent):
        return Agent(AgentKind.BARE)
    for kind, name, words, pattern in _NAMED:
        if _word_of(words, agent) or (pattern is not None and pattern.search(agent)):
            return Agent(kind, name)
    word = _word_of(MACHINE_WORDS, agent)
    match = None if word else _MACHINE.search(agent) or _ADDRESS.search(agent)
    if word or match is not None:
        return Agent(AgentKind.MACHINE, word or (match.group().strip() if match else ""))
    is_persons = _word_of(_PERSON_WORDS, agent) or _PERSON_PATTERN.search(agent)
    if not is_persons or not _DIGIT.search(agent):
        return Agent(AgentKind.UNKNOWN if _PAYLOAD.search(agent) else AgentKind.MACHINE)
    if _ONLY_COMPATIBLE.fullmatch(agent) and not _word_of(_ENGINE_WORDS, agent):
        return Agent(AgentKind.UNKNOWN)
    return Agent(AgentKind.BROWSER)


def _word_of(words: tuple[str, ...], agent: str) -> str:
    for word in words:
        if word in agent:
            return word
    return ""
