"""A load of HTTP requests over kept connections; it runs in a process of its own.

    python -m benchmarks.http_load PORT FILE CONNECTIONS

Each line of `FILE` is a path, a tab, and the client's address for X-Forwarded-For. Each
connection has one request under way. When all are answered it prints a line of JSON: `seconds`,
`statuses` (how many of each), `p50_ms` and `p99_ms` (from the request's last octet to the
answer's), `cpu_seconds` of its own.
"""

from __future__ import annotations

import json
import selectors
import socket
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

__all__: list[str] = []

_HEAD = (
    "GET {path} HTTP/1.1\r\nHost: links.example.com\r\nX-Forwarded-For: {address}\r\n"
    "User-Agent: Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1\r\n"
    "Accept: image/avif,image/webp,*/*;q=0.8\r\nAccept-Language: it-IT,it;q=0.9\r\n"
    "Accept-Encoding: gzip, deflate, br\r\nConnection: keep-alive\r\n\r\n"
)
_LENGTH = b"content-length: "


class _Client:
    """One connection."""

    def __init__(self, port: int, requests: Iterator[bytes]) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._requests = requests
        self._sent_at = 0.0

    def send(self) -> bool:
        """The next request; False: there is none."""
        request = next(self._requests, None)
        if request is None:
            return False
        self._sent_at = time.monotonic()
        self.socket.sendall(request)
        return True

    def answer(self) -> tuple[int, float]:
        """Read one answer: its status, and how many seconds it took."""
        octets = self.socket.recv(65536)
        while (end := octets.find(b"\r\n\r\n")) < 0:
            octets += self._more()
        head = octets[:end].lower()
        place = head.find(_LENGTH)
        length = int(head[place + len(_LENGTH) :].partition(b"\r")[0]) if place >= 0 else 0
        while len(octets) < end + 4 + length:
            octets += self._more()
        return int(octets[9:12]), time.monotonic() - self._sent_at

    def _more(self) -> bytes:
        octets = self.socket.recv(65536)
        if not octets:
            raise ConnectionError("closed in the middle of an answer")
        return octets


def _run(port: int, file: Path, connections: int) -> dict[str, object]:
    requests = [
        _HEAD.format(path=path, address=address).encode()
        for path, _, address in (line.partition("\t") for line in file.read_text().splitlines())
    ]
    waiting = iter(requests)
    selector = selectors.DefaultSelector()
    statuses: Counter[int] = Counter()
    took: list[float] = []
    begin, cpu = time.monotonic(), time.process_time()
    for client in [_Client(port, waiting) for _ in range(min(connections, len(requests)))]:
        selector.register(client.socket, selectors.EVENT_READ, client)
        client.send()
    while selector.get_map():
        for key, _ in selector.select():
            status, seconds = key.data.answer()
            statuses[status] += 1
            took.append(seconds * 1000)
            if not key.data.send():
                selector.unregister(key.fileobj)
                key.data.socket.close()
    seconds, points = time.monotonic() - begin, statistics.quantiles(took, n=100)
    return {
        "seconds": seconds,
        "cpu_seconds": time.process_time() - cpu,
        "statuses": statuses,
        "p50_ms": points[49],
        "p99_ms": points[98],
    }


if __name__ == "__main__":
    print(json.dumps(_run(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))))
