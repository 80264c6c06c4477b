"""A new configuration for a running process: what of it can hold at once.

Guarantees: pure. What cannot change while the process runs keeps its old value, and is named.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from smtpplus.config import Config

__all__ = ["Reloaded", "reloaded"]

_LIVE: dict[str, frozenset[str] | None] = {  # None: all of the section
    "submission": frozenset(
        {
            "certificate",
            "private_key",
            "max_message_bytes",
            "max_recipients",
            "max_header_recipients",
            "bare_line_ends",
            "show_client",
            "proxy_from",
            "max_connections",
            "max_connections_per_address",
        }
    ),
    "relay": None,
    "dns": None,
    "web": frozenset({"trusted_proxies"}),
    "log": None,
    "metrics": None,
}
_CERTIFICATE = ("certificate", "private_key")


@dataclass(frozen=True, slots=True)
class Reloaded:
    """`config` is what is in effect now; keys as ``section.key``."""

    config: Config
    changed: tuple[str, ...]
    waiting: tuple[str, ...]  # hold after a restart


def reloaded(old: Config, new: Config) -> Reloaded:
    """`new`, as far as it can hold in a process that runs by `old`."""
    changed: list[str] = []
    waiting: list[str] = []
    sections = {}
    for section in msgspec.structs.fields(Config):
        if section.name == "file":
            continue
        before, after = getattr(old, section.name), getattr(new, section.name)
        kept = {}
        for key in msgspec.structs.fields(type(before)):
            if getattr(before, key.name) == getattr(after, key.name):
                continue
            if _is_live(old, new, section.name, key.name):
                changed.append(f"{section.name}.{key.name}")
            else:
                waiting.append(f"{section.name}.{key.name}")
                kept[key.name] = getattr(before, key.name)
        sections[section.name] = msgspec.structs.replace(after, **kept)
    config = msgspec.structs.replace(new, **sections)
    return Reloaded(config, tuple(changed), tuple(waiting))


def _is_live(old: Config, new: Config, section: str, key: str) -> bool:
    if section not in _LIVE:
        return False
    if section == "relay" and key == "deliver":
        # The sandbox is a service of its own, which starts with the process.
        return "sandbox" not in {old.relay.deliver, new.relay.deliver}
    if section == "submission" and key in _CERTIFICATE:
        # Whether TLS is offered at all is settled when the listeners are made.
        return None not in {old.submission.certificate, new.submission.certificate}
    keys = _LIVE[section]
    return keys is None or key in keys
