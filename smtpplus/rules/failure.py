"""The policy of failure: where it failed + what was said → next host, defer or give up.

One file decides (O6, O7, D10); whoever attempts only reports. Guarantees: DNS trouble and lost
connections never bounce; only a reply of class 5 to MAIL, RCPT, DATA or the content, or to
HELO, is final; after the final dot no other host is tried, the remote may have the message.
Does not say what a code means for a recipient's future: `smtpplus.rules.verdict` does.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from smtpplus.values.outcome import Outcome, Result, Stage
from smtpplus.values.reply import Reply
from smtpplus.values.status_codes import EnhancedCode

__all__ = ["Action", "Judgement", "judge_loss", "judge_reply", "undeliverable"]

_SESSION_STAGES = frozenset(
    {Stage.CONNECT, Stage.GREETING, Stage.HELLO, Stage.STARTTLS, Stage.AUTH}
)
# The status where the remote gave none: subject and detail by stage (RFC 3463 §3).
_STATUS_OF_STAGE = {
    Stage.ROUTE: (4, 4),
    Stage.CONNECT: (4, 1),
    Stage.GREETING: (3, 2),
    Stage.HELLO: (5, 0),
    Stage.STARTTLS: (7, 5),
    Stage.AUTH: (7, 8),
    Stage.MAIL: (1, 8),
    Stage.RCPT: (1, 1),
    Stage.DATA: (5, 0),
    Stage.BODY: (6, 0),
    Stage.RENDER: (6, 3),
}
# What a bare reply code says by itself (RFC 5321 §4.2.3, RFC 7504, RFC 7505).
_STATUS_OF_CODE = {
    421: (3, 2),
    450: (2, 0),
    451: (3, 0),
    452: (3, 1),
    521: (3, 2),
    552: (2, 2),
    553: (1, 3),
    556: (1, 10),
}


class Action(enum.Enum):
    """What to do about a failure."""

    NEXT_HOST = "next host"  # try the next address; where there is none, the outcome stands
    STOP = "stop"  # the outcome stands


@dataclass(frozen=True, slots=True)
class Judgement:
    """`action`, and the outcome that stands if nothing better follows.

    `session_usable` tells whether the session can carry another transaction.
    """

    action: Action
    outcome: Outcome
    session_usable: bool


def judge_reply(stage: Stage, reply: Reply) -> Judgement:
    """What a negative (or senseless) reply at `stage` means."""
    permanent = reply.is_permanent and not _is_soft(stage, reply)
    outcome = Outcome(
        result=Result.BOUNCED if permanent else Result.DEFERRED,
        stage=stage,
        status=_status(stage, reply, 5 if permanent else 4),
        text=_sentence(stage, reply),
        reply=reply,
    )
    usable = stage not in _SESSION_STAGES and not reply.closes and reply.code >= 400
    return Judgement(_action(stage, permanent=permanent), outcome, usable)


def judge_loss(stage: Stage, text: str, *, after_final_dot: bool, reply: Reply | None) -> Judgement:
    """What it means that the connection was not made, was lost, timed out or broke protocol.

    `reply` is what the remote ended it with.
    """
    subject, detail = (4, 1) if stage is Stage.CONNECT else (4, 2)
    if stage is Stage.STARTTLS:
        subject, detail = _STATUS_OF_STAGE[stage]
    status = EnhancedCode(4, subject, detail)
    if reply is not None and not reply.is_positive:
        status = _status(stage, reply, 4)
    outcome = Outcome(
        result=Result.DEFERRED,
        stage=stage,
        status=status,
        text=text,
        reply=reply,
        uncertain=after_final_dot,
    )
    return Judgement(Action.STOP if after_final_dot else Action.NEXT_HOST, outcome, False)


def undeliverable(stage: Stage, status: str, text: str) -> Outcome:
    """A failure that was found here, without the remote: by DNS, or while making the copy."""
    code = EnhancedCode.parse(status)
    assert code is not None
    result = Result.BOUNCED if code.klass == 5 else Result.DEFERRED
    return Outcome(result=result, stage=stage, status=code, text=text)


def _is_soft(stage: Stage, reply: Reply) -> bool:
    """Class 5 that does not mean it."""
    if stage is Stage.GREETING:
        return True  # this host refuses us, not the recipient; another day or host may not
    if stage in {Stage.STARTTLS, Stage.AUTH}:
        return True  # between us and the next hop: the operator mends it, mail waits
    # RFC 5321 §4.5.3.1.10: 552 to RCPT may be old software's "too many recipients".
    return stage is Stage.RCPT and reply.code == 552 and reply.enhanced is None


def _action(stage: Stage, *, permanent: bool) -> Action:
    if stage is Stage.HELLO:
        return Action.NEXT_HOST  # a verdict on us by one host: another may think otherwise
    return Action.STOP if permanent or stage is Stage.BODY else Action.NEXT_HOST


def _status(stage: Stage, reply: Reply, klass: int) -> EnhancedCode:
    if reply.enhanced is not None and reply.enhanced.klass == klass:
        return reply.enhanced
    if reply.enhanced is not None and reply.enhanced.klass != 2:
        return EnhancedCode(klass, reply.enhanced.subject, reply.enhanced.detail)
    return EnhancedCode(klass, *_STATUS_OF_CODE.get(reply.code, _STATUS_OF_STAGE[stage]))


def _sentence(stage: Stage, reply: Reply) -> str:
    what = {
        Stage.GREETING: "its greeting",
        Stage.HELLO: "EHLO",
        Stage.STARTTLS: "STARTTLS",
        Stage.AUTH: "AUTH",
        Stage.MAIL: "MAIL FROM",
        Stage.RCPT: "RCPT TO",
        Stage.DATA: "DATA",
        Stage.BODY: "the message",
    }.get(stage, stage.value)
    said = "in" if stage is Stage.GREETING else "in reply to"
    return f"The remote said {said} {what}: {reply}"
