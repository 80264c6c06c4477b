"""What is put into names, addresses and headers to forge lines of a log."""

from __future__ import annotations

import random


def payloads(count: int) -> list[str]:
    """So many of them."""
    forged = '{"time": "2026-01-01", "level": "critical", "text": "FAKE", "forged": true}'
    ends = [
        "\n",
        "\r\n",
        "\r",
        "\x0b",
        "\x0c",
        "\x1c",
        "\x1d",
        "\x1e",
        "\x85",
        "\u2028",
        "\u2029",
        "\0",
    ]
    odd = [
        "\x1b[2J",
        "\x1b]0;t\x07",
        "\u202e",
        "\u2066",
        "\x7f",
        "\x9b",
        "\udc0a",
        "\ufeff",
        "\ufffe",
        '"',
        "\\",
        '\\"}',
    ]
    made = [f"x{end}{forged}{end}" for end in ends]
    made += [f"{one}{end}2026-01-01 FAKE" for one in odd for end in ends]
    made += [f"{forged}{one}" for one in odd]
    made += ["".join(ends) * 9, "".join(odd) * 9, "%s%n%x" * 9, "{a.b[c]!r:>9}", "\n" * 9_000]
    chance = random.Random(17)
    while len(made) < count:
        made.append("".join(chr(chance.randrange(0x110000)) for _ in range(60)))
    return made[:count]
