"""The states of the client's conversation, and the two tables that connect them.

`AFTER_COMMAND` says what may be said when; `AFTER_REPLY` which first digits may answer. A
missing key is the protocol error: ours in the first table, the remote's in the second.
"""

from __future__ import annotations

import enum

from smtpplus.smtp.client_events import Command

__all__ = ["AFTER_COMMAND", "AFTER_REPLY", "ClientState"]


class ClientState(enum.Enum):
    """Where the conversation is."""

    __hash__ = object.__hash__  # members are singletons; Enum's own hash is slow, and in Python

    CONNECTED = "waiting for the greeting"
    GREETED = "greeted, EHLO is due"
    REFUSED = "refused by the greeting"
    HELLO = "waiting for the reply to EHLO or HELO"
    READY = "ready for a transaction"
    EXCHANGE = "waiting for the reply to a command outside a transaction"
    HANDSHAKE = "TLS handshake"
    ENVELOPE = "waiting for replies to MAIL, RCPT, DATA"
    OPEN = "a transaction was given up: RSET is due"
    BODY = "sending the message"
    FINAL = "waiting for the reply to the message"
    QUITTING = "waiting for the reply to QUIT"
    CLOSED = "closed"


_S = ClientState
_C = Command

AFTER_COMMAND: dict[tuple[ClientState, Command], ClientState] = {
    (_S.GREETED, _C.EHLO): _S.HELLO,
    (_S.GREETED, _C.HELO): _S.HELLO,
    (_S.GREETED, _C.QUIT): _S.QUITTING,
    (_S.REFUSED, _C.QUIT): _S.QUITTING,
    (_S.READY, _C.EHLO): _S.HELLO,
    (_S.READY, _C.STARTTLS): _S.EXCHANGE,
    (_S.READY, _C.AUTH): _S.EXCHANGE,
    (_S.READY, _C.RSET): _S.EXCHANGE,
    (_S.READY, _C.MAIL): _S.ENVELOPE,
    (_S.READY, _C.QUIT): _S.QUITTING,
    (_S.ENVELOPE, _C.RCPT): _S.ENVELOPE,
    (_S.ENVELOPE, _C.DATA): _S.ENVELOPE,
    (_S.OPEN, _C.EHLO): _S.HELLO,
    (_S.OPEN, _C.RSET): _S.EXCHANGE,
    (_S.OPEN, _C.QUIT): _S.QUITTING,
    (_S.BODY, _C.DISCARD): _S.FINAL,
    (_S.BODY, _C.FINAL): _S.FINAL,
}


def _answers(
    state: ClientState, command: Command, after: dict[str, ClientState]
) -> dict[tuple[ClientState, Command, int], ClientState]:
    """``{"45": X}`` stands for two rows, one for each first digit."""
    return {
        (state, command, int(digit)): target for digits, target in after.items() for digit in digits
    }


AFTER_REPLY: dict[tuple[ClientState, Command, int], ClientState] = {
    **_answers(_S.CONNECTED, _C.GREETING, {"2": _S.GREETED, "45": _S.REFUSED}),
    **_answers(_S.HELLO, _C.EHLO, {"2": _S.READY, "45": _S.GREETED}),
    **_answers(_S.HELLO, _C.HELO, {"2": _S.READY, "45": _S.GREETED}),
    **_answers(_S.EXCHANGE, _C.STARTTLS, {"2": _S.HANDSHAKE, "45": _S.READY}),
    **_answers(_S.EXCHANGE, _C.AUTH, {"3": _S.EXCHANGE, "245": _S.READY}),
    **_answers(_S.EXCHANGE, _C.RSET, {"2": _S.READY, "45": _S.OPEN}),
    **_answers(_S.ENVELOPE, _C.MAIL, {"245": _S.ENVELOPE}),
    **_answers(_S.ENVELOPE, _C.RCPT, {"245": _S.ENVELOPE}),
    **_answers(_S.ENVELOPE, _C.DATA, {"3": _S.BODY, "45": _S.OPEN}),
    **_answers(_S.FINAL, _C.FINAL, {"245": _S.READY}),
    **_answers(_S.FINAL, _C.DISCARD, {"245": _S.READY}),
    **_answers(_S.QUITTING, _C.QUIT, {"245": _S.CLOSED}),
}
