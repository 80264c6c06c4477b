"""The kinds of value a configuration key may have beside those of TOML.

Each is a string that was checked when it was read, so that `check-config` prints what the file
said. Guarantees: an instance made by ``read`` is well formed. Raises ValueError with what was
expected; `smtpplus.config.load` adds file, line and key.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Any, Self

from smtpplus.values.duration import Duration

__all__ = ["Endpoint", "HostName", "NameServer", "Network", "Period", "read_kind"]

_LONGEST_SECONDS = 3_660 * 86_400.0  # of a period

_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")


class HostName(str):
    """A host or domain name in lower-case A-labels, without the final dot."""

    __slots__ = ()

    @classmethod
    def read(cls, text: str) -> HostName:
        """Check `text`."""
        name = text.strip().rstrip(".").lower()
        if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in name.split(".")):
            raise ValueError(f'expected a host name such as "mail.example.com", got "{text}"')
        return cls(name)


class Endpoint(str):
    """``host:port``: an IPv4 address, an IPv6 address in brackets, or a host name; port 0 to 65535.

    Port 0 leaves the choice to the kernel.
    """

    __slots__ = ()

    @classmethod
    def read(cls, text: str, default_port: int | None = None) -> Self:
        """Check `text`; without a port `default_port` is added where there is one."""
        host, colon, port = text.strip().rpartition(":")
        if not colon or (port.endswith("]") and text.startswith("[")):
            if default_port is None:
                raise ValueError(f'expected "host:port", got "{text}"')
            host, port = text.strip(), str(default_port)
        if not (port.isascii() and port.isdecimal() and int(port) <= 65535):
            raise ValueError(f'expected a port from 0 to 65535 after the colon, got "{text}"')
        return cls(f"{_checked_host(host, text)}:{int(port)}")

    @property
    def host(self) -> str:
        """The address or name, without brackets."""
        return self.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port."""
        return int(self.rpartition(":")[2])

    @property
    def is_address(self) -> bool:
        """Is the host an address, and no name?"""
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            return False
        return True

    @property
    def is_loopback(self) -> bool:
        """Does only this machine reach it?"""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


class NameServer(Endpoint):
    """``address:port`` of a name server; the port may be left out (53)."""

    __slots__ = ()

    @classmethod
    def read(cls, text: str, default_port: int | None = 53) -> Self:
        """Check `text`. A name is none: who would look it up?"""
        found = super().read(text, default_port)
        if not found.is_address or found.port == 0:
            raise ValueError(
                'expected the address of a name server, such as "192.0.2.53" or '
                f'"[2001:db8::53]:53", got "{text}"'
            )
        return found


class Period(str):
    """A span of time such as ``90s``, ``15m``, ``4h``, ``5d``."""

    __slots__ = ()

    @classmethod
    def read(cls, text: str) -> Period:
        """Check `text`."""
        seconds = Duration.parse(text).seconds
        if seconds <= 0:
            raise ValueError(f'expected more than no time, got "{text}"')
        if seconds > _LONGEST_SECONDS:
            raise ValueError(f'expected at most ten years, got "{text}"')
        return cls(text.replace(" ", ""))

    @property
    def duration(self) -> Duration:
        """As a value."""
        return Duration.parse(self)

    @property
    def seconds(self) -> float:
        """In seconds."""
        return self.duration.seconds


class Network(str):
    """A CIDR such as ``192.0.2.0/24`` or ``2001:db8::/32``; a lone address is a network of one."""

    __slots__ = ()

    @classmethod
    def read(cls, text: str) -> Network:
        """Check `text`."""
        try:
            return cls(ipaddress.ip_network(text.strip()))
        except ValueError as error:
            raise ValueError(f'expected a network such as "192.0.2.0/24": {error}') from error

    @property
    def network(self) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
        """As a value."""
        return ipaddress.ip_network(str(self))


def _checked_host(host: str, text: str) -> str:
    if host.startswith("[") and host.endswith("]"):
        try:
            return f"[{ipaddress.IPv6Address(host[1:-1])}]"
        except ValueError as error:
            raise ValueError(f'expected an IPv6 address in the brackets, got "{text}"') from error
    if ":" in host:
        raise ValueError(f'an IPv6 address stands in brackets, "[::1]:25"; got "{text}"')
    try:
        return HostName.read(host)
    except ValueError as error:
        raise ValueError(f'expected "host:port", got "{text}"') from error


def read_kind(kind: type, value: Any, base: Path) -> Any:
    """What `value` of a TOML file is as a `kind`; a relative path starts at the folder `base`."""
    if not isinstance(value, str):
        raise ValueError(f"expected a string, got {value!r}")  # noqa: TRY004 - msgspec's hook contract
    if kind is Path:
        if not value:
            raise ValueError("expected a path, got an empty string")
        return (base / value).resolve()
    if issubclass(kind, Endpoint | Period | Network | HostName):
        return kind.read(value)
    raise NotImplementedError(kind)
