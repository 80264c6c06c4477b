"""DATA and BDAT on the server side: from the command to the final reply.

Guarantees: the true end of every content is found, also of one that was refused; the octets of
a refused chunk are consumed before its reply (BD1); nothing of them is run as a command.
"""

from __future__ import annotations

from dataclasses import dataclass

from smtpplus.smtp import server_replies as replies
from smtpplus.smtp.events import BodyChunk, BodyEnded, BodyStarted, ServerEvent
from smtpplus.smtp.grammar import parse_chunk_size
from smtpplus.smtp.server_auth import AuthTurns
from smtpplus.smtp.server_body import ChunkedContent, DottedContent
from smtpplus.smtp.server_states import TRANSITIONS, State, Step
from smtpplus.values.errors import RefusedError
from smtpplus.values.reply import Reply

__all__ = ["ContentTurns"]

_MAX_CHUNK = 1 << 40  # the octets of a chunk beyond this are not waited for


@dataclass(slots=True)
class _RefusedChunk:
    """`remaining` octets to let go by, then `reply`, then on in the state `then`."""

    remaining: int
    reply: Reply
    then: State


class ContentTurns(AuthTurns):
    """The part of a conversation that takes contents in."""

    _dotted: DottedContent | None = None
    _chunked: ChunkedContent | None = None
    _announced: tuple[int, bool] | None = None  # octets and LAST of the BDAT in question
    _refused_chunk: _RefusedChunk | None = None

    # ------------------------------------------------------------ DATA

    def _data(self, argument: str) -> None:
        if argument:
            raise RefusedError(replies.NO_ARGUMENT)
        try:
            self._require(Step.DATA)
        except RefusedError as refused:
            self._refuse_data(self._without_recipients(refused.reply))
        else:
            self._ask(BodyStarted(self._open_transaction.envelope()))

    def _without_recipients(self, reply: Reply) -> Reply:
        transaction = self._transaction
        refused = self.state is State.MAIL and transaction is not None and transaction.refused
        return replies.NO_RECIPIENTS if refused else reply

    def _refuse_data(self, reply: Reply) -> None:
        # Whoever sends on after DATA without having seen 354 sends a content. It must not be
        # run as commands (S7, ES2).
        if self._came_early:
            self._say(replies.TOO_EARLY)
            self._close("octets after a refused DATA")
        else:
            self._complain(reply)

    def _body_start_answered(self, reply: Reply, _question: ServerEvent) -> None:
        announced, self._announced = self._announced, None
        if announced is not None:
            octets, last = announced
            if reply.is_positive:
                self._chunked = ChunkedContent(self._settings)
                self._open_chunk(octets, last=last)
            else:
                self._forget_transaction()
                self._refuse_chunk(octets, reply, State.READY if last else State.CHUNKS_REFUSED)
        elif not reply.is_positive:
            self._refuse_data(reply)
        else:
            self._dotted = DottedContent(self._settings)
            self._go(Step.DATA)
            self._say(reply if reply.code == 354 else replies.GO_ON)

    def _read_dotted(self) -> bool:
        octets = self._in.take_all()
        if not octets:
            return False
        content = self._dotted
        assert content is not None
        piece, refusal = content.feed(octets), content.refusal
        if piece:
            self._events.append(BodyChunk(piece))
        if refusal is not None:
            self._forget_transaction()
        if content.ended:
            if content.rest:
                self._in.add(content.rest)
            if refusal is None:
                self._ask(BodyEnded(content.octets))
            else:
                self._content_refused(refusal)
        return True

    def _pass_on(self, piece: bytes, refusal: Reply | None) -> None:
        if piece:
            self._events.append(BodyChunk(piece))
        if refusal is not None:
            self._forget_transaction()

    def _content_refused(self, refusal: Reply) -> None:
        self._dotted = self._chunked = None
        self._go(Step.CONTENT_ENDED)
        self._complain(refusal)

    def _body_answered(self, reply: Reply, _question: ServerEvent) -> None:
        self._dotted = self._chunked = self._transaction = None
        self._go(Step.CONTENT_ENDED)
        if reply.is_positive:
            self._errors = self._junk = 0
        self._say(reply)

    # ------------------------------------------------------------ BDAT

    def _bdat(self, argument: str) -> None:
        octets, last, well_formed = parse_chunk_size(argument)
        if octets > _MAX_CHUNK:
            self._say(replies.CHUNK_ABSURD)
            self._close("a chunk of absurd size")
            return
        refusal = self._chunk_refusal(well_formed=well_formed)
        if refusal is not None:
            self._refuse_chunk(octets, refusal, self._after_refused_chunk(last=last))
        elif self.state is State.RCPT:
            self._announced = (octets, last)
            self._ask(BodyStarted(self._open_transaction.envelope()))
        else:
            self._open_chunk(octets, last=last)

    def _chunk_refusal(self, *, well_formed: bool) -> Reply | None:
        if not self._settings.chunking:
            return replies.NOT_OFFERED
        if not well_formed:
            return replies.BDAT_SYNTAX
        try:
            self._require(Step.BDAT)
        except RefusedError as refused:
            return self._without_recipients(refused.reply)
        return None

    def _after_refused_chunk(self, *, last: bool) -> State:
        if self.state is State.CHUNKS:  # a part of this content is lost
            self._forget_transaction()
            return State.READY if last else State.CHUNKS_REFUSED
        if self.state is State.CHUNKS_REFUSED and last:
            return TRANSITIONS[self.state, Step.CONTENT_ENDED]
        return self.state

    def _refuse_chunk(self, octets: int, reply: Reply, then: State) -> None:
        self._refused_chunk = _RefusedChunk(octets, reply, then)
        self._chunked = None
        self.state = State.SWALLOW

    def _read_swallowed(self) -> bool:
        chunk = self._refused_chunk
        assert chunk is not None
        if chunk.remaining and not self.buffered:
            return False
        chunk.remaining -= len(self._in.take(chunk.remaining))
        if not chunk.remaining:
            self._refused_chunk = None
            self.state = chunk.then
            self._complain(chunk.reply)
        return True

    def _open_chunk(self, octets: int, *, last: bool) -> None:
        content = self._chunked
        assert content is not None
        content.open_chunk(octets, last=last)
        self._go(Step.BDAT)

    def _read_chunk(self) -> bool:
        content = self._chunked
        assert content is not None
        if content.remaining and not self.buffered:
            return False
        present = content.octets_in_chunk
        self._pass_on(content.feed(self._in.take(content.remaining)), content.refusal)
        if not content.remaining:
            self._chunk_ended(content, present)
        return True

    def _chunk_ended(self, content: ChunkedContent, octets: int) -> None:
        if content.refusal is None:
            if content.last:
                self._ask(BodyEnded(content.octets))
            else:
                self._go(Step.CHUNK_ENDED)
                self._say(Reply.of(250, "2.0.0", f"{octets} octets received"))
        elif content.last:
            self._content_refused(content.refusal)
        else:
            self._chunked = None
            self._go(Step.CHUNK_REFUSED)
            self._complain(content.refusal)
