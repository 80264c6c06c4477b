"""Who signs in to the pages."""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface import Interface

from smtpplus.values.submission import Person, Role

__all__ = ["IPeople"]


class IPeople(Interface):
    """Who signs in to the pages. Passwords come and go as argon2 hashes; tokens as SHA-256."""

    async def people() -> Sequence[Person]:
        """Everybody, by e-mail."""

    async def add_person(
        email: str, role: Role, account_id: int | None, password_hash: str | None, now: float
    ) -> Person:
        """A new person. Raises ConflictError."""

    async def set_password(person_id: int, password_hash: str) -> None:
        """Change the password; ends all sessions of that person."""

    async def password_hash(email: str) -> tuple[Person, str] | None:
        """For signing in; None: unknown, or no password yet."""

    async def add_sign_in(token_hash: bytes, person_id: int, expires_at: float) -> None:
        """A one-time sign-in link."""

    async def use_sign_in(token_hash: bytes, now: float) -> Person | None:
        """Use the link up: the person, once; None afterwards, or when it has expired."""

    async def add_session(token_hash: bytes, person_id: int, csrf: str, expires_at: float) -> None:
        """A signed-in browser."""

    async def session(token_hash: bytes, now: float) -> tuple[Person, str] | None:
        """Person and CSRF token of a live session."""

    async def end_session(token_hash: bytes) -> None:
        """Sign out."""
