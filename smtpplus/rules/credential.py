"""Makes the secret of an SMTP user: 118 random bits in four groups that can be read aloud.

Guarantees: no letter that is taken for another, nothing a shell or URL treats specially.
Randomness is an argument. The secret is shown once; what is kept is a SCRAM verifier.
"""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["new_secret"]

_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # 31 letters: no i, l, o, 0, 1
_GROUPS = 4
_GROUP_LETTERS = 6


def new_secret(random: Callable[[int], bytes]) -> str:
    """Four groups of six letters; `random` gives so many random octets (``secrets.token_bytes``)."""
    # 16 octets a group against 31 ** 6: the remainder's bias is below 2 ** -98.
    return "-".join(
        _letters(int.from_bytes(random(16), "big"), _GROUP_LETTERS) for _ in range(_GROUPS)
    )


def _letters(number: int, count: int) -> str:
    letters = []
    for _ in range(count):
        number, index = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[index])
    return "".join(letters)
