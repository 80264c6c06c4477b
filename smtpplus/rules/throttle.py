"""How often somebody may try to sign in: the throttle of AUTH and of the sign-in page.

Two rules, both about failures that are younger than `AuthLimits.memory_seconds`:

* an address with `free_failures` of them may try once per `spacing_seconds`, not more;
* a user name with `user_failures` of them, counted over all addresses, is locked for
  `lock_seconds`, but only for addresses it has never been used from successfully. An address
  that knows the secret is therefore never locked out by strangers.

An address that has succeeded for a user is counted apart for that user, so that one broken
device behind a shared address does not slow down its neighbours.

Guarantees: pure but for its own memory, which is bounded (the least recently used is forgotten);
known and unknown users are treated alike. Raises nothing. Does not know any secret, and does
not end connections: the conversation does, after three failures.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["AuthLimits", "AuthThrottle", "address_group"]

K = TypeVar("K")
V = TypeVar("V")

_NAME_LENGTH = 128  # of a user name that is kept: an AUTH line may carry 9 KiB of it
_IPV6_PREFIX = 64  # what one customer line gets (RFC 6177 §2)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthLimits:
    """The numbers of the throttle; `most_entries` bounds each of its three tables."""

    free_failures: int = 5
    spacing_seconds: float = 1.0
    user_failures: int = 20
    lock_seconds: float = 900.0
    memory_seconds: float = 900.0
    most_entries: int = 10_000


@dataclass(slots=True)
class _Failures:
    """Failures of one source: how many, the last of them, and when it may try again."""

    count: int = 0
    last_at: float = 0.0
    next_try_at: float = 0.0


class _Table(Generic[K, V]):
    """A dict that forgets what was not used for the longest time."""

    __slots__ = ("_most", "_rows")

    def __init__(self, most: int) -> None:
        self._rows: OrderedDict[K, V] = OrderedDict()
        self._most = most

    def get(self, key: K) -> V | None:
        row = self._rows.get(key)
        if row is not None:
            self._rows.move_to_end(key)
        return row

    def put(self, key: K, row: V) -> V:
        self._rows[key] = row
        self._rows.move_to_end(key)
        if len(self._rows) > self._most:
            self._rows.popitem(last=False)
        return row

    def drop(self, key: K) -> None:
        self._rows.pop(key, None)

    def __len__(self) -> int:
        return len(self._rows)


_Source = tuple[str, str]  # address group, user name ("" for the address as a whole)


class AuthThrottle:
    """Remembers failures and successes; `now` is seconds of a clock that never jumps."""

    def __init__(self, limits: AuthLimits | None = None) -> None:
        self._limits = limits or AuthLimits()
        most = self._limits.most_entries
        self._sources: _Table[_Source, _Failures] = _Table(most)
        self._users: _Table[str, _Failures] = _Table(most)
        self._known: _Table[_Source, float] = _Table(most)

    def wait_seconds(self, ip: str, username: str, now: float) -> float:
        """0.0: the try is admitted (and takes its turn); else how long to wait for the next."""
        name, group = _name(username), address_group(ip)
        known = self._known.get((group, name)) is not None
        if not known:
            user = self._fresh(self._users, name, now)
            if user is not None and now < user.next_try_at:
                return user.next_try_at - now
        source = self._fresh(self._sources, (group, name if known else ""), now)
        if source is None or source.count < self._limits.free_failures:
            return 0.0
        if now < source.next_try_at:
            return source.next_try_at - now
        source.next_try_at = now + self._limits.spacing_seconds
        return 0.0

    def failed(self, ip: str, username: str, now: float) -> None:
        """The try failed: wrong secret, unknown user, or given up half-way."""
        name, group = _name(username), address_group(ip)
        known = self._known.get((group, name)) is not None
        source = self._count(self._sources, (group, name if known else ""), now)
        if source.count >= self._limits.free_failures:
            source.next_try_at = max(source.next_try_at, now + self._limits.spacing_seconds)
        if known:
            return
        user = self._count(self._users, name, now)
        if user.count >= self._limits.user_failures:
            user.next_try_at = now + self._limits.lock_seconds
            user.count = 0

    def succeeded(self, ip: str, username: str, now: float) -> None:
        """The secret was right. Failures of the address stay: one's own account is no pardon."""
        source = (address_group(ip), _name(username))
        self._known.put(source, now)
        self._sources.drop(source)

    def _fresh(self, table: _Table[K, _Failures], key: K, now: float) -> _Failures | None:
        row = table.get(key)
        if row is None:
            return None
        if now - row.last_at >= self._limits.memory_seconds and now >= row.next_try_at:
            table.drop(key)
            return None
        return row

    def _count(self, table: _Table[K, _Failures], key: K, now: float) -> _Failures:
        row = self._fresh(table, key, now) or table.put(key, _Failures())
        row.count += 1
        row.last_at = now
        return row


def address_group(ip: str) -> str:
    """What counts as one client: an IPv4 address, or an IPv6 network of 64 bits."""
    if ":" not in ip:
        return ip
    try:
        address = ipaddress.IPv6Address(ip.partition("%")[0])
    except ValueError:
        return ip
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address), _IPV6_PREFIX), strict=False))


def _name(username: str) -> str:
    return username[:_NAME_LENGTH].lower()
