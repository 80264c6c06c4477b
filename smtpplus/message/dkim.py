"""DKIM signatures (RFC 6376, RFC 8301, RFC 8463): relaxed/relaxed, oversigned, no ``l=``.

`BodyHash` takes the body as it streams; `prepare` makes the field and the octets to be signed
(cheap); `Unsigned.sign` does the arithmetic and is to run in a thread: it touches nothing shared
and OpenSSL works beside Python. Guarantees: the same digest however the body is cut; hostile
field values cannot add a field. Raises `UsageError` for a key that cannot be used, ValueError
for a domain or selector that is none. Body and head must have CRLF line ends only, and be 7-bit
where a next hop may need it (RFC 6376 §5.3). Does not verify.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa

from smtpplus.message.headers import HeaderField, parse_head
from smtpplus.values.errors import UsageError

__all__ = ["BodyHash", "SigningKey", "Unsigned", "generate_key", "prepare", "sign"]

# RFC 6376 §5.4: each is signed once more than it is there, so none can be added on the way.
OVERSIGNED = (
    "From",
    "To",
    "Cc",
    "Subject",
    "Date",
    "Message-ID",
    "Reply-To",
    "In-Reply-To",
    "References",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "Feedback-ID",
    "CFBL-Address",
    "CFBL-Feedback-ID",
)
# Signed where they are there; a list or a forwarder may add its own.
SIGNED = ("Sender", "List-Id", "List-Help", "Auto-Submitted", "BIMI-Selector")

# What a signature names, in this order: the name, how it is looked up, whether once more.
_NAMED = tuple(
    (name, name.lower(), extra) for names, extra in ((OVERSIGNED, 1), (SIGNED, 0)) for name in names
)

_VALUE_BLANKS = re.compile(rb"[ \t\r\n]+")
_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9_\-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_\-]*[a-z0-9_])?)*")
_IDENTITY = re.compile(r"[A-Za-z0-9!#$%&'*+/?^_`{|}~.\-]*@[a-z0-9._\-]+")
_LINE = 72
_FEW = 200  # fields; what is chosen of a hostile head with 10,000 is not kept
_MIN_RSA_BITS = 1024  # RFC 8301 §3.2
_FLUSH = 32768  # held-back CRLFs that are hashed at a time


class BodyHash:
    """SHA-256 of a body in relaxed canonical form (RFC 6376 §3.4.4), from pieces."""

    __slots__ = ("_blank", "_hash", "_rest", "_started")

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._blank = 0  # line ends held back: they count only if something follows
        self._rest = b""  # blanks and a CR after them: not yet decided
        self._started = False

    def update(self, chunk: bytes) -> None:
        """The next piece, cut anywhere."""
        octets = self._rest + chunk if self._rest else chunk
        solid = octets.rstrip(b" \t\r\n")
        if solid:
            self._flush_blank()
            self._hash.update(_relaxed(solid))
            self._started = True
        tail = octets[len(solid) :]
        self._blank += tail.count(b"\r\n")
        self._rest = _reduced(tail[tail.rfind(b"\r\n") + 2 :] if b"\r\n" in tail else tail)

    def _flush_blank(self) -> None:
        while self._blank:
            count = min(self._blank, _FLUSH)
            self._hash.update(b"\r\n" * count)
            self._blank -= count

    def digest(self) -> bytes:
        """The hash of all that was given; `update` may go on afterwards."""
        final = self._hash.copy()
        if self._started:
            final.update(b"\r\n")
        return final.digest()


def _reduced(octets: bytes) -> bytes:
    """Each run of blanks as one space: whole passes in C, each halving the longest run."""
    if b"\t" in octets:
        octets = octets.replace(b"\t", b" ")
    while b"  " in octets:
        octets = octets.replace(b"  ", b" ")
    return octets


def _relaxed(octets: bytes) -> bytes:
    """Blanks reduced; `octets` does not end in a blank or a line end."""
    octets = _reduced(octets)
    return octets.replace(b" \r\n", b"\r\n") if b" \r\n" in octets else octets


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key, ready to sign. Its repr shows no secret."""

    private: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
    algorithm: str  # the a= tag

    @classmethod
    def load(cls, pem: bytes, *, is_ours: bool = True) -> SigningKey:
        """The key of an unencrypted PEM file.

        Args:
            pem: the file.
            is_ours: made by `generate_key`; its primes are not tested again (40 ms).

        Raises:
            UsageError: it is no RSA key of at least 1024 bits and no Ed25519 key.
        """
        try:
            private = serialization.load_pem_private_key(
                pem, password=None, unsafe_skip_rsa_key_validation=is_ours
            )
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise UsageError("The DKIM key is no unencrypted private key in PEM form.") from error
        if isinstance(private, ed25519.Ed25519PrivateKey):
            return cls(private, "ed25519-sha256")
        if not isinstance(private, rsa.RSAPrivateKey):
            raise UsageError("The DKIM key is neither an RSA nor an Ed25519 key.")
        if private.key_size < _MIN_RSA_BITS:
            raise UsageError(f"The DKIM key has {private.key_size} bits; 2048 are recommended.")
        return cls(private, "rsa-sha256")

    @property
    def public_b64(self) -> str:
        """The p= tag of its DNS record (RFC 6376 §3.6.1, RFC 8463 §4)."""
        return _public_b64(self.private)

    def sign(self, octets: bytes) -> bytes:
        """The signature over the SHA-256 of `octets`."""
        if isinstance(self.private, rsa.RSAPrivateKey):
            return self.private.sign(octets, padding.PKCS1v15(), hashes.SHA256())
        return self.private.sign(hashlib.sha256(octets).digest())  # RFC 8463 §3


def _public_b64(private: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey) -> str:
    if isinstance(private, rsa.RSAPrivateKey):
        octets = private.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    else:
        octets = private.public_key().public_bytes_raw()
    return base64.b64encode(octets).decode("ascii")


def generate_key(*, use_ed25519: bool = False) -> tuple[bytes, str]:
    """A new key: its private PEM (PKCS #8) and the p= tag. RSA-2048 where nothing else is said."""
    private = (
        ed25519.Ed25519PrivateKey.generate()
        if use_ed25519
        else rsa.generate_private_key(public_exponent=65537, key_size=2048)
    )
    pem = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return pem, _public_b64(private)


@dataclass(frozen=True, slots=True)
class Unsigned:
    """A DKIM-Signature field that lacks its signature, and the octets that are to be signed."""

    field: bytes
    octets: bytes

    def sign(self, key: SigningKey) -> bytes:
        """The whole field with its CRLF. May run in a thread."""
        encoded = base64.b64encode(key.sign(self.octets)).decode("ascii")
        lines = [encoded[start : start + _LINE] for start in range(0, len(encoded), _LINE)]
        return self.field + "\r\n\t ".join(lines).encode("ascii") + b"\r\n"


def prepare(
    head: bytes | Sequence[HeaderField],
    body_digest: bytes,
    *,
    algorithm: str,
    domain: str,
    selector: str,
    now: int,
    identity: str | None = None,
) -> Unsigned:
    """Make the field and what is to be signed.

    Args:
        head: the head exactly as it is sent (or its fields in order).
        body_digest: of `BodyHash`, of the body exactly as it is sent.
        algorithm: the key's.
        domain: d=, in A-labels.
        selector: s=.
        now: t=, Unix seconds.
        identity: i=, where it is wanted.

    Raises:
        ValueError: domain, selector or identity cannot stand in the field.
    """
    domain, selector = domain.lower(), selector.lower()
    if not (_NAME.fullmatch(domain) and _NAME.fullmatch(selector)):
        raise ValueError(f"{selector!r} or {domain!r} cannot name a DKIM key")
    if identity is not None and not _IDENTITY.fullmatch(identity):
        raise ValueError(f"{identity!r} cannot be a DKIM identity")
    fields = parse_head(head) if isinstance(head, bytes) else head
    choice = _choice if len(fields) <= _FEW else _choice.__wrapped__
    names, places = choice(tuple([field.name for field in fields]))
    tags = f" v=1; a={algorithm}; c=relaxed/relaxed; d={domain};\r\n\ts={selector}; t={int(now)};"
    if identity is not None:
        tags += f"\r\n\ti={identity};"
    digest = base64.b64encode(body_digest).decode("ascii")
    value = f"{tags}\r\n\th={names};\r\n\tbh={digest};\r\n\tb=".encode("ascii")
    canonical = [_canonical(name, fields[place].value) for name, place in places]
    own = _canonical(b"dkim-signature", value)[:-2]  # RFC 6376 §3.7: without its CRLF
    return Unsigned(b"DKIM-Signature:" + value, b"".join(canonical) + own)


@lru_cache(maxsize=64)  # few heads differ in their names
def _choice(present: tuple[str, ...]) -> tuple[str, tuple[tuple[bytes, int], ...]]:
    """Of a head with these fields: h=, and which are signed, by name and place in the head.

    The last instance of a name goes first (RFC 6376 §5.4.2).
    """
    at: dict[str, list[int]] = {}
    for place, name in enumerate(present):
        at.setdefault(name.lower(), []).append(place)
    names: list[str] = []
    places: list[tuple[bytes, int]] = []
    for name, lower, extra in _NAMED:
        found = at.get(lower, [])
        names += [name] * (len(found) + extra)
        places += [(lower.encode("ascii"), place) for place in reversed(found)]
    return _folded(names), tuple(places)


def _folded(names: Sequence[str]) -> str:
    lines, line = [], ""
    for name in names:
        if line and len(line) + len(name) >= _LINE:
            lines.append(line)
            line = ""
        line += name + ":"
    return "\r\n\t ".join([*lines, line])[:-1]


def _canonical(name: bytes, value: bytes) -> bytes:
    """Relaxed header canonicalisation (RFC 6376 §3.4.2)."""
    if b"\x0b" in value or b"\x0c" in value:  # which `split` takes for blanks
        return name + b":" + _VALUE_BLANKS.sub(b" ", value).strip(b" ") + b"\r\n"
    return b"%b:%b\r\n" % (name, b" ".join(value.split()))


def sign(
    head: bytes | Sequence[HeaderField],
    body_digest: bytes,
    key: SigningKey,
    *,
    domain: str,
    selector: str,
    now: int,
    identity: str | None = None,
) -> bytes:
    """`prepare` and `Unsigned.sign` in one: the whole DKIM-Signature field with its CRLF."""
    unsigned = prepare(
        head,
        body_digest,
        algorithm=key.algorithm,
        domain=domain,
        selector=selector,
        now=now,
        identity=identity,
    )
    return unsigned.sign(key)
