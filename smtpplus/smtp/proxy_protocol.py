"""The PROXY protocol, versions 1 and 2: who the client behind a load balancer is.

Source: haproxy.org/download/2.8/doc/proxy-protocol.txt (2020/03/05). Guarantees: at most
`MAX_HEADER` octets are looked at. Raises `ProxyError`; whoever gets one closes without a word.
Does not decide who may send a header: the listener's allow-list does.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from smtpplus.values.errors import ProtocolError

__all__ = ["MAX_HEADER", "ProxyError", "ProxyHeader", "read_proxy_header"]

MAX_HEADER = 4096
_MAX_V1 = 107  # §2.1, CRLF included
_V2 = b"\r\n\r\n\0\r\nQUIT\n"
_V2_FIXED = 16
_INET, _INET6 = 0x1, 0x2  # the high four bits of family and protocol
_STREAM = 0x1


class ProxyError(ProtocolError):
    """The first octets are no PROXY header."""


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """The client's address and port; None and 0: the proxy speaks for itself, or does not know.

    `octets` is the length of the header.
    """

    client_ip: str | None
    client_port: int
    octets: int


def read_proxy_header(received: bytes) -> ProxyHeader | None:
    """The header at the beginning of `received`, or None where it is not complete yet.

    Raises:
        ProxyError: there is none, or it is malformed.
    """
    if received[: len(_V2)] == _V2[: len(received)] and received[:1] == b"\r":
        return _read_v2(received)
    if received[:6] == b"PROXY "[: len(received)]:
        return _read_v1(received)
    raise ProxyError("The connection does not begin with a PROXY header.")


def _read_v1(received: bytes) -> ProxyHeader | None:
    end = received.find(b"\r\n", 0, _MAX_V1)
    if end < 0:
        if len(received) >= _MAX_V1:
            raise ProxyError("The PROXY header is longer than 107 octets.")
        return None
    try:
        words = received[:end].decode("ascii").split(" ")
    except UnicodeDecodeError as error:
        raise ProxyError("The PROXY header is not ASCII.") from error
    if words[1] == "UNKNOWN":
        return ProxyHeader(None, 0, end + 2)
    if len(words) != 6 or words[1] not in {"TCP4", "TCP6"}:
        raise ProxyError("The PROXY header is malformed.")
    version = 4 if words[1] == "TCP4" else 6
    client_ip = _text_address(words[2], version)
    _text_address(words[3], version)
    port = _port(words[4])
    _port(words[5])
    return ProxyHeader(client_ip, port, end + 2)


def _read_v2(received: bytes) -> ProxyHeader | None:
    if len(received) < _V2_FIXED:
        return None
    version, command = divmod(received[12], 16)
    family, protocol = divmod(received[13], 16)
    octets = _V2_FIXED + int.from_bytes(received[14:16], "big")
    if version != 2 or command > 1:
        raise ProxyError("The PROXY header has an unknown version or command.")
    if octets > MAX_HEADER:
        raise ProxyError(f"The PROXY header is longer than {MAX_HEADER} octets.")
    if len(received) < octets:
        return None
    width = {_INET: 4, _INET6: 16}.get(family)
    if command == 0 or width is None or protocol != _STREAM:
        return ProxyHeader(None, 0, octets)
    if octets < _V2_FIXED + 2 * width + 4:
        raise ProxyError("The PROXY header is too short for its addresses.")
    packed = received[_V2_FIXED : _V2_FIXED + width]
    port_at = _V2_FIXED + 2 * width
    port = int.from_bytes(received[port_at : port_at + 2], "big")
    return ProxyHeader(_show(ipaddress.ip_address(packed)), port, octets)


def _text_address(text: str, version: int) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError as error:
        raise ProxyError("The PROXY header holds a malformed address.") from error
    if address.version != version or "%" in text:
        raise ProxyError("The PROXY header's address is not of its family.")
    return _show(address)


def _show(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 5 and int(text) <= 65_535):
        raise ProxyError("The PROXY header holds a malformed port.")
    return int(text)
