"""The server side's states, and every step that leads from one to the next.

A missing key is the protocol error: the client hears 503. What policy adds (AUTH first, TLS
first, limits) is not here.
"""

from __future__ import annotations

import enum

__all__ = ["TRANSITIONS", "State", "Step"]


class State(enum.Enum):
    """Where a conversation is."""

    __hash__ = object.__hash__  # members are singletons; Enum's own hash is slow, and in Python

    PROXY = "proxy"  # a PROXY header must come first
    GREETING = "greeting"  # nothing was said yet
    REFUSED = "refused"  # greeted with 5xx: only QUIT is served
    START = "start"  # EHLO or HELO is due
    READY = "ready"
    AUTH = "auth"  # a SASL exchange is on: lines are responses
    TLS = "tls"  # 220 was said, the handshake is on
    MAIL = "mail"  # a transaction without recipients
    RCPT = "rcpt"  # a transaction with recipients
    DATA = "data"  # octets are content up to the final dot
    CHUNK = "chunk"  # octets are content up to BDAT's count
    CHUNKS = "chunks"  # between two chunks of one content
    CHUNKS_REFUSED = "chunks refused"  # a chunk was refused; its content is gone
    SWALLOW = "swallow"  # octets of a refused chunk go by
    CLOSED = "closed"


class Step(enum.Enum):
    """What a client asks for, or what becomes of it."""

    __hash__ = object.__hash__

    PROXY_READ = "proxy read"
    GREETED = "greeted"
    TURNED_AWAY = "turned away"
    HELLO = "EHLO"
    STARTTLS = "STARTTLS"
    TLS_UP = "tls up"
    AUTH = "AUTH"
    AUTH_ENDED = "auth ended"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    BDAT = "BDAT"
    CONTENT_ENDED = "content ended"
    CHUNK_ENDED = "chunk ended"
    CHUNK_REFUSED = "chunk refused"
    RSET = "RSET"
    NOOP = "NOOP"  # also HELP, VRFY, EXPN
    QUIT = "QUIT"


_OPEN = (
    State.START,
    State.READY,
    State.MAIL,
    State.RCPT,
    State.CHUNKS,
    State.CHUNKS_REFUSED,
)

TRANSITIONS: dict[tuple[State, Step], State] = {
    (State.PROXY, Step.PROXY_READ): State.GREETING,
    (State.GREETING, Step.GREETED): State.START,
    (State.GREETING, Step.TURNED_AWAY): State.REFUSED,
    (State.REFUSED, Step.QUIT): State.CLOSED,
    **{(state, Step.HELLO): State.READY for state in _OPEN},
    **{(state, Step.NOOP): state for state in _OPEN},
    **{(state, Step.QUIT): State.CLOSED for state in _OPEN},
    (State.START, Step.RSET): State.START,
    **{(state, Step.RSET): State.READY for state in _OPEN if state is not State.START},
    (State.READY, Step.STARTTLS): State.TLS,
    (State.TLS, Step.TLS_UP): State.START,  # RFC 3207 §4.2: everything is forgotten
    (State.READY, Step.AUTH): State.AUTH,
    (State.AUTH, Step.AUTH_ENDED): State.READY,
    (State.READY, Step.MAIL): State.MAIL,
    (State.CHUNKS_REFUSED, Step.MAIL): State.MAIL,
    (State.MAIL, Step.RCPT): State.RCPT,
    (State.RCPT, Step.RCPT): State.RCPT,
    (State.RCPT, Step.DATA): State.DATA,
    (State.DATA, Step.CONTENT_ENDED): State.READY,
    (State.RCPT, Step.BDAT): State.CHUNK,
    (State.CHUNKS, Step.BDAT): State.CHUNK,
    (State.CHUNK, Step.CHUNK_ENDED): State.CHUNKS,
    (State.CHUNK, Step.CONTENT_ENDED): State.READY,
    (State.CHUNK, Step.CHUNK_REFUSED): State.CHUNKS_REFUSED,
    # RFC 3030 §2: after a refused chunk the others are refused too, up to RSET or LAST.
    (State.CHUNKS_REFUSED, Step.CONTENT_ENDED): State.READY,
}
