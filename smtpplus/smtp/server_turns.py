"""Whose turn it is on the server side: octets, events, the one open question, the limits.

Guarantees: while a question is open nothing is read, so replies keep the order of commands;
`Closed` comes once and nothing after it; errors and junk are bounded (R6). Raises RuntimeError
where the driver answers what was not asked. Knows no command: `smtpplus.smtp.server` does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from smtpplus.smtp import server_replies as replies
from smtpplus.smtp.buffer import (
    BareLineFeedError,
    FloodError,
    LineTooLongError,
    ReceiveBuffer,
)
from smtpplus.smtp.events import Closed, ServerEvent, Tarpit, TransactionReset, Wait
from smtpplus.smtp.server_settings import ServerSettings
from smtpplus.smtp.server_states import TRANSITIONS, State, Step
from smtpplus.smtp.server_transaction import Transaction
from smtpplus.values.errors import RefusedError
from smtpplus.values.reply import Reply
from smtpplus.values.status_codes import EnhancedCode

__all__ = ["Turns", "with_code"]

_IDLE_SECONDS = 300.0  # RFC 5321 §4.5.3.2.7
_SETUP_SECONDS = 30.0  # a PROXY header, a TLS handshake
_SET_UP = frozenset({State.PROXY, State.TLS})
_WANT_OCTETS = frozenset({State.START, State.READY, State.MAIL, State.RCPT, State.DATA})


class Turns:
    """The turn-taking half of a conversation; `_read` is the other half's."""

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self.state = State.PROXY if settings.proxied else State.GREETING  # not for others to set
        self._in = ReceiveBuffer()
        self._out: list[bytes] = []
        self._held: list[bytes] = []  # said, but not before the events so far were taken
        self._is_holding = False
        self._events: deque[ServerEvent] = deque()
        self._question: ServerEvent | None = None
        self._more: Callable[[], bool] = lambda: False
        self._eof = False
        self._errors = 0
        self.most_errors = settings.max_errors  # then 421; a listener under stress lowers it
        self._junk = 0
        self._transaction: Transaction | None = None

    # ------------------------------------------------------------ the driver's side

    @property
    def buffered(self) -> int:
        """Octets received and not consumed: stop reading from the socket above 64 KiB."""
        return len(self._in)

    @property
    def timeout(self) -> float:
        """Seconds to wait for the client's next octets in the present state."""
        return _SETUP_SECONDS if self.state in _SET_UP else _IDLE_SECONDS

    def receive(self, data: bytes) -> None:
        """Octets came. After the end they are ignored."""
        if self.state is not State.CLOSED and not self._eof:
            self._in.add(data)

    def receive_eof(self) -> None:
        """Nothing more will come: what is complete is still served, then `Closed` follows."""
        self._eof = True

    def next_event(self) -> ServerEvent | Wait:
        """The next event; NEED_DATA also after `Closed`."""
        events = self._events
        if self._is_holding and (not events or type(events[0]) is Closed):
            self._out += self._held
            self._held.clear()
            self._is_holding = False
        while not events:
            if self._question is not None:
                return Wait.PAUSED
            if not self._in.octets and not self._eof and self.state in _WANT_OCTETS:
                return Wait.NEED_DATA
            if not self._read():
                if not self._eof or self.state is State.CLOSED:
                    return Wait.NEED_DATA
                self._close("the client closed the connection")
        return events.popleft()

    def bytes_to_send(self) -> bytes:
        """What is to go to the client now, once."""
        if not self._out:
            return b""
        out, self._out = self._out, []
        return out[0] if len(out) == 1 else b"".join(out)

    # ------------------------------------------------------------ the commands' side

    def _read(self) -> bool:
        """Consume something of the input; False where more is needed."""
        raise NotImplementedError

    def _line(self) -> bytes | None:
        """The next line, None where it is not complete. Raises RefusedError."""
        auth = self.state is State.AUTH
        limit = replies.MAX_AUTH_LINE if auth else replies.MAX_LINE
        try:
            return self._in.line(limit, b"AUTH ", replies.MAX_AUTH_LINE)
        except FloodError:
            raise RefusedError(replies.FLOOD) from None
        except LineTooLongError:
            auth = auth or self._in.begins_with(b"AUTH ")
            raise RefusedError(replies.AUTH_TOO_LONG if auth else replies.LINE_TOO_LONG) from None
        except BareLineFeedError:
            raise RefusedError(replies.BARE_LINE_FEED) from None

    def _require(self, step: Step) -> None:
        """Raises RefusedError with 503 where the table does not know the step."""
        if (self.state, step) not in TRANSITIONS:
            raise RefusedError(
                replies.out_of_order(
                    step,
                    greeted=self.state is not State.START,
                    refused=self.state is State.REFUSED,
                )
            )

    @property
    def _came_early(self) -> bool:
        """Did the client send on where it has to wait for a reply?"""
        return bool(self._in.octets) or self._more()

    @property
    def _is_closed(self) -> bool:
        return self.state is State.CLOSED

    def _go(self, step: Step) -> None:
        self.state = TRANSITIONS[self.state, step]

    def _ask(self, question: ServerEvent) -> None:
        self._question = question
        self._events.append(question)

    def _say(self, reply: Reply) -> None:
        self._say_octets(reply.encode())
        if reply.closes:
            self._close(str(reply))

    def _say_octets(self, octets: bytes) -> None:
        (self._held if self._is_holding else self._out).append(octets)

    def _hold(self, event: ServerEvent) -> None:
        """What is said from now on waits until the driver has dealt with `event`."""
        self._events.append(event)
        self._is_holding = True

    def _complain(self, reply: Reply) -> None:
        """Refuse, and count it."""
        self._errors += 1
        if not reply.closes and self._errors > self.most_errors:
            reply = replies.TOO_MANY_ERRORS
        elif self._errors > self._settings.tarpit_after:
            self._hold(Tarpit(self._settings.tarpit_seconds))
        self._say(reply)

    def _count_junk(self) -> bool:
        """One more command that leads nowhere; False: one too many, 421 was said."""
        self._junk += 1
        if self._junk <= self._settings.max_junk:
            return True
        self._say(replies.TOO_MUCH_JUNK)
        return False

    @property
    def _open_transaction(self) -> Transaction:
        assert self._transaction is not None
        return self._transaction

    def _forget_transaction(self) -> None:
        if self._transaction is not None:
            self._transaction = None
            self._events.append(TransactionReset())

    def _close(self, reason: str) -> None:
        """The end. Safe to repeat."""
        if self.state is State.CLOSED:
            return
        self._forget_transaction()
        self.state = State.CLOSED
        self._question = None
        self._in.clear()
        self._events.append(Closed(reason))


def with_code(reply: Reply) -> Reply:
    """`reply` with the enhanced code that fits where its author gave none (RFC 2034 §4)."""
    if reply.enhanced is not None or reply.code // 100 == 3:
        return reply
    return Reply(reply.code, EnhancedCode(reply.code // 100, 0, 0), reply.lines)
