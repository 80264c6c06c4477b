"""Sessions, cookies, one-time links and passwords of people.

Guarantees: the store sees tokens as SHA-256 and passwords as argon2id only; tokens have 256
random bits; cookies are HttpOnly and SameSite=Lax, and Secure with the ``__Host-`` prefix where
browsers come over HTTPS. An unknown e-mail address costs the same time as a wrong password.
Does not throttle: `pages.sign_in` does.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Callable

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from smtpplus.ports import IPeople
from smtpplus.values.submission import Person
from smtpplus.web.context import WebSettings

__all__ = [
    "FORM_COOKIE",
    "SESSION_COOKIE",
    "SESSION_SECONDS",
    "SIGN_IN_SECONDS",
    "check_password",
    "cookie_name",
    "hash_password",
    "hash_token",
    "issue_sign_in",
    "new_token",
    "open_session",
    "set_cookie",
]

SESSION_COOKIE = "smtpplus"
FORM_COOKIE = "smtpplus-form"
SESSION_SECONDS = 14 * 86400.0
SIGN_IN_SECONDS = 24 * 3600.0
_TOKEN_OCTETS = 32

# OWASP's minimum for argon2id (19 MiB, 2 passes): about 35 ms of one worker thread.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)


@functools.cache
def _nobody() -> str:
    return _HASHER.hash("the password of nobody")


def hash_password(password: str) -> str:
    """argon2id of a password, with its salt and costs. Slow: call it in a worker thread."""
    return _HASHER.hash(password.encode("utf-8", "surrogatepass"))


def check_password(password: str, stored: str | None) -> bool:
    """Is this the password? `stored` None runs the same course. Slow: a worker thread's work."""
    try:
        _HASHER.verify(stored or _nobody(), password.encode("utf-8", "surrogatepass"))
    except (VerificationError, InvalidHashError):
        return False
    return stored is not None


def new_token(random: Callable[[int], bytes]) -> str:
    """256 random bits for a URL or a cookie."""
    return base64.urlsafe_b64encode(random(_TOKEN_OCTETS)).rstrip(b"=").decode("ascii")


def hash_token(token: str) -> bytes:
    """What the store keeps of a token."""
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()


async def issue_sign_in(
    people: IPeople,
    person: Person,
    now: float,
    random: Callable[[int], bytes],
    seconds: float = SIGN_IN_SECONDS,
) -> str:
    """Make a one-time link for `person`: its path, to be put behind the public URL."""
    token = new_token(random)
    await people.add_sign_in(hash_token(token), person.id, now + seconds)
    return f"/sign-in/{token}"


async def open_session(
    people: IPeople,
    person: Person,
    now: float,
    random: Callable[[int], bytes],
    settings: WebSettings,
) -> str:
    """Sign `person` in: the Set-Cookie value for this browser."""
    token = new_token(random)
    await people.add_session(hash_token(token), person.id, new_token(random), now + SESSION_SECONDS)
    return set_cookie(settings, SESSION_COOKIE, token, int(SESSION_SECONDS))


def cookie_name(settings: WebSettings, name: str) -> str:
    """``__Host-`` keeps other hosts and plain HTTP from setting it (RFC 6265bis §4.1.3.2)."""
    return f"__Host-{name}" if settings.is_https else name


def set_cookie(settings: WebSettings, name: str, value: str, seconds: int) -> str:
    """A Set-Cookie value; 0 seconds: forget it."""
    secure = "; Secure" if settings.is_https else ""
    return (
        f"{cookie_name(settings, name)}={value}; Path=/; Max-Age={seconds}; "
        f"HttpOnly; SameSite=Lax{secure}"
    )
