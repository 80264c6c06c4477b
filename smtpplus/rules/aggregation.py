"""Which campaign a message is counted in: the list's setting ``aggregation``, and what beats it.

A campaign code in the message, then its first tag, then the SMTP user's code, then the policy. A
campaign name is that of the code's (or tag's) campaign and decides nothing itself: without one it
would name a bucket of other mail, and is left out.
Keys begin with how they came about (``month:2026-11``, ``code:welcome``), so a changed policy
makes new campaigns and leaves the old ones as they are.

Guarantees: pure and deterministic; a key has at most 120 characters, is printable and never empty,
whatever the message held. Days and weeks begin where the list's time zone says. Raises nothing
for the policies of `POLICIES`, KeyError for any other word.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import NamedTuple

from smtpplus.rules.subject_learning import match_learnt
from smtpplus.rules.subject_patterns import pattern_of, plain_subject
from smtpplus.values.learnt_pattern import LearntPattern

__all__ = ["POLICIES", "CampaignFacts", "CampaignKey", "bucket"]

_MAX_KEY = 120
_MAX_NAME = 200
_NO_SUBJECT = "(no subject)"
_NO_SENDER = "(no sender)"


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignFacts:
    """What of a message decides its campaign.

    `sender` and `sender_name` are address and display name of From; `campaign_code`,
    `campaign_name` and `tags` are the message's own; `default_code` is its SMTP user's;
    `personal` is what in a subject is known to be the recipient's.
    """

    received_at: float
    subject: str = ""
    sender: str = ""
    sender_name: str = ""
    username: str = ""
    campaign_code: str = ""
    campaign_name: str = ""
    tags: tuple[str, ...] = ()
    default_code: str = ""
    personal: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CampaignKey:
    """The bucket: `key` is the same for all its messages, `name` is what a new one is called."""

    key: str
    name: str


def bucket(
    policy: str,
    facts: CampaignFacts,
    zone: tzinfo = UTC,
    learnt: Sequence[LearntPattern] = (),
) -> CampaignKey:
    """The campaign of a message.

    Args:
        policy: the list's setting, one of `POLICIES`.
        facts: of the message.
        zone: where its day begins.
        learnt: patterns learnt for the list, used by ``dynamic-subject``.
    """
    for kind, given in (
        ("code", facts.campaign_code),
        ("tag", next(iter(facts.tags), "")),
        ("code", facts.default_code),
    ):
        if code := plain_subject(given):
            return _made(kind, code, facts.campaign_name or code)
    made = POLICIES[policy](_Asked(facts, zone, learnt))
    return _made(policy, made.key, made.name)


def _made(kind: str, key: str, name: str) -> CampaignKey:
    key = f"{kind}:{''.join(one if one.isprintable() else '?' for one in key)}"
    if len(key) > _MAX_KEY:
        digest = hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()[:16]
        key = f"{key[: _MAX_KEY - 17]}~{digest}"
    return CampaignKey(key, plain_subject(name)[:_MAX_NAME] or key)


def _dated(form: str) -> _Policy:
    def dated(asked: _Asked) -> CampaignKey:
        text = datetime.fromtimestamp(asked.facts.received_at, asked.zone).strftime(form)
        return CampaignKey(text, text)

    return dated


def _subject(asked: _Asked) -> CampaignKey:
    text = plain_subject(asked.facts.subject)
    return CampaignKey(text, text or _NO_SUBJECT)


def _dynamic_subject(asked: _Asked) -> CampaignKey:
    pattern = pattern_of(asked.facts.subject, asked.facts.personal)
    known = match_learnt(pattern.key, asked.learnt) if asked.learnt else None
    if known is not None:
        return CampaignKey(known.key, known.text)
    return CampaignKey(pattern.key, pattern.text or _NO_SUBJECT)


def _sender(asked: _Asked) -> CampaignKey:
    return CampaignKey(asked.facts.sender.lower(), asked.facts.sender or _NO_SENDER)


def _sender_name(asked: _Asked) -> CampaignKey:
    name = plain_subject(asked.facts.sender_name)
    return CampaignKey(name.casefold(), name) if name else _sender(asked)


def _sender_subject(asked: _Asked) -> CampaignKey:
    sender, subject = _sender(asked), _subject(asked)
    return CampaignKey(f"{sender.key} {subject.key}", f"{sender.name}: {subject.name}")


def _user(asked: _Asked) -> CampaignKey:
    return CampaignKey(asked.facts.username, asked.facts.username)


def _without_code(_asked: _Asked) -> CampaignKey:
    return CampaignKey("none", "(no campaign code)")


class _Asked(NamedTuple):
    facts: CampaignFacts
    zone: tzinfo
    learnt: Sequence[LearntPattern]


_Policy = Callable[[_Asked], CampaignKey]

POLICIES: dict[str, _Policy] = {
    "day": _dated("%Y-%m-%d"),
    "week": _dated("%G-W%V"),  # ISO 8601: a week belongs to the year of its Thursday
    "month": _dated("%Y-%m"),
    "year": _dated("%Y"),
    "subject": _subject,
    "dynamic-subject": _dynamic_subject,
    "sender": _sender,
    "sender-name": _sender_name,
    "sender-subject": _sender_subject,
    "user": _user,
    "campaign": _without_code,
}
