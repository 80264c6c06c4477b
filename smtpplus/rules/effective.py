"""What holds for one message: it says, else its SMTP user, else its list.

Guarantees: every question has an answer, and every answer knows who gave it (`Effective.why`),
for the message's page. Pure; raises nothing. Does not look at the message itself: whether a
footer can be put into it is found out when the copy is made. For messages that say nothing the
answer depends on user and list alone, and is worth keeping: it takes some 20 µs to find.

Two things stand above the message: mail of a `subscribed` list always has a way out, and the
limits of its SMTP user (recall window, duplicate guard) are not the message's to change.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from smtpplus.rules import list_settings
from smtpplus.values.options import MergeSyntax, Options, Utm
from smtpplus.values.submission import MailList, SmtpUser, Stream

__all__ = ["Effective", "Level", "settle"]

_USUAL_PRIORITY = 3
_UTM = ("source", "medium", "term", "content", "campaign")
_EVERY_SYNTAX = frozenset(MergeSyntax)


class Level(enum.StrEnum):
    """Who gave an answer."""

    MESSAGE = "message"
    USER = "SMTP user"
    LIST = "list"
    STREAM = "the list's stream"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Effective:
    """The answers. An empty text means: none. Times are Unix seconds, spans seconds.

    `campaign_code` "" leaves the campaign to the policy `aggregation`. `send_at` 0 is at once,
    `expires_at` 0 after the installation's lifetime, `expires_after` 0 likewise (it counts from
    the time of sending). `own_to`: every recipient alone in To; `bcc_own_to`: those who are in
    neither To nor Cc. `merge` empty: no tags are looked for in the message itself; the list's
    header and footer are another matter. The texts of `header_html` and the
    like are empty where `header` or `footer` is off. An unsubscribe text without
    `unsubscribe_tag` is appended to the body.
    """

    stream: Stream
    campaign_code: str
    campaign_name: str
    aggregation: str
    tags: tuple[str, ...]
    header: bool
    header_html: str
    header_text: str
    footer: bool
    footer_html: str
    footer_text: str
    track_opens: bool
    track_clicks_html: bool
    track_clicks_text: bool
    honeypot: bool
    open_tag: str
    unsubscribe: bool
    unsubscribe_html: str
    unsubscribe_text: str
    unsubscribe_tag: str
    own_to: bool
    bcc_own_to: bool
    priority: int
    send_at: float
    expires_at: float
    expires_after: float
    fields: Mapping[str, str]
    merge: frozenset[MergeSyntax]
    unescaped: frozenset[str]
    metadata: Mapping[str, str]
    utm: Utm
    require_tls: bool
    bypass_suppression: bool
    drop: bool
    idempotency_key: str
    duplicates: float
    recall: float
    pool: str
    own_unsubscribe: str
    privacy: bool
    timezone: str
    feedback_id: str
    suppressed_reply: str
    notices: tuple[str, ...]
    why: Mapping[str, Level] = field(compare=False, repr=False)


class _Answers:
    """Finds each answer and remembers who gave it."""

    __slots__ = ("list_settings", "options", "settings", "user_settings", "why")

    def __init__(self, options: Options, user: SmtpUser, mail_list: MailList) -> None:
        self.options = options
        self.user_settings = user.settings
        self.list_settings = mail_list.settings
        self.settings = list_settings.effective({**mail_list.settings, **user.settings})
        self.why: dict[str, Level] = {}

    def said(self, name: str, otherwise: Any) -> Any:
        """The message's, or `otherwise`."""
        value = getattr(self.options, name)
        self.why[name] = Level.DEFAULT if value is None else Level.MESSAGE
        return otherwise if value is None else value

    def of_list(self, name: str, key: str | None = None, otherwise: Any = False) -> Any:
        """The message's (where `Options` has it), or the setting `key` of user or list."""
        value = getattr(self.options, name, None)
        if value is not None:
            self.why[name] = Level.MESSAGE
            return value
        key = key or name
        for settings, level in ((self.user_settings, Level.USER), (self.list_settings, Level.LIST)):
            value = settings.get(key)
            if value is not None:
                self.why[name] = level
                return value
        self.why[name] = Level.DEFAULT
        return self.settings.get(key, otherwise)

    def of_user(self, name: str, usual: Any, value: Any) -> Any:
        """The SMTP user's value; nobody's where it is the usual one."""
        self.why[name] = Level.DEFAULT if value == usual else Level.USER
        return value


def settle(options: Options, user: SmtpUser, mail_list: MailList) -> Effective:
    """What holds for a message of `user`, who is bound to `mail_list`, that says `options`."""
    answers = _Answers(options, user, mail_list)
    return Effective(
        stream=mail_list.stream,
        **_campaign(answers, user),
        **_texts(answers),
        **_tracking(answers),
        **_unsubscribe(answers, mail_list.stream),
        **_recipients(answers),
        **_time(answers, user),
        **_merge(answers),
        **_rest(answers, user),
        why=answers.why,
    )


def _campaign(answers: _Answers, user: SmtpUser) -> dict[str, Any]:
    """A code, else the first tag, else the user's code, else the list's policy.

    A name is the code's: without one it says nothing.
    """
    options, why = answers.options, answers.why
    aggregation = answers.of_list("aggregation")
    if options.campaign_code or options.tags:
        code, why["campaign_code"] = options.campaign_code or options.tags[0], Level.MESSAGE
    elif user.campaign:
        code, why["campaign_code"] = user.campaign, Level.USER
    else:
        code, why["campaign_code"] = "", why["aggregation"]
    name = answers.said("campaign_name", "")
    if not code:
        name, why["campaign_name"] = "", Level.DEFAULT
    why["tags"] = Level.MESSAGE if options.tags else Level.DEFAULT
    return {
        "campaign_code": code,
        "campaign_name": name,
        "aggregation": aggregation,
        "tags": options.tags,
    }


def _texts(answers: _Answers) -> dict[str, Any]:
    """The list's header and footer, or the footer that the message brings along.

    Who brings one wants it, if `footer` is not said to be off.
    """
    options, why = answers.options, answers.why
    header, footer = answers.of_list("header"), answers.of_list("footer")
    found = {
        name: answers.of_list(name, otherwise="") if footer else ""
        for name in ("footer_html", "footer_text")
    }
    if (options.footer_html or options.footer_text) and options.footer is not False:
        # One that the message brings is whole: the list's is not put beside it.
        footer, found = True, {name: getattr(options, name) or "" for name in found}
        why.update(dict.fromkeys(("footer", *found), Level.MESSAGE))
    elif not footer:
        why.update(dict.fromkeys(found, why["footer"]))
    for name in ("header_html", "header_text"):
        found[name] = answers.of_list(name, otherwise="") if header else ""
        if not header:
            why[name] = why["header"]
    return {"header": header, "footer": footer, **found}


def _tracking(answers: _Answers) -> dict[str, Any]:
    """A list's `track_clicks` is about HTML; links in plain text ask for a word of their own."""
    opens, tag = answers.of_list("track_opens"), answers.said("open_tag", "")
    if not opens:
        tag, answers.why["open_tag"] = "", answers.why["track_opens"]
    return {
        "track_opens": opens,
        "track_clicks_html": answers.of_list("track_clicks_html", "track_clicks"),
        "track_clicks_text": answers.of_list("track_clicks_text"),
        "honeypot": answers.of_list("honeypot"),
        "open_tag": tag,
    }


def _unsubscribe(answers: _Answers, stream: Stream) -> dict[str, Any]:
    wanted = answers.of_list("unsubscribe")
    if stream is Stream.SUBSCRIBED:
        if not wanted or answers.why["unsubscribe"] is Level.DEFAULT:
            answers.why["unsubscribe"] = Level.STREAM
        wanted = True
    names = ("unsubscribe_html", "unsubscribe_text", "unsubscribe_tag")
    texts = {name: answers.said(name, "") if wanted else "" for name in names}
    if not wanted:
        answers.why.update(dict.fromkeys(names, answers.why["unsubscribe"]))
    return {"unsubscribe": wanted, **texts}


def _recipients(answers: _Answers) -> dict[str, Any]:
    return {
        "own_to": answers.said("own_to", otherwise=False),
        "bcc_own_to": answers.of_list("bcc_own_to"),
    }


def _time(answers: _Answers, user: SmtpUser) -> dict[str, Any]:
    options = answers.options
    if options.priority is not None:
        priority, answers.why["priority"] = options.priority, Level.MESSAGE
    else:
        priority = answers.of_user("priority", _USUAL_PRIORITY, user.priority)
    return {
        "priority": priority,
        "send_at": answers.said("send_at", 0.0),
        "expires_at": answers.said("expires_at", 0.0),
        "expires_after": answers.said("expires_after", 0.0),
        "recall": answers.of_user("recall", 0.0, user.recall),
    }


def _merge(answers: _Answers) -> dict[str, Any]:
    """Tags are looked for where the message has fields, in the syntaxes of its dialects."""
    options = answers.options
    has_fields = bool(options.fields) or any(one.fields for one in options.recipients)
    merge = frozenset(options.merge)
    if has_fields and not merge:
        merge = _EVERY_SYNTAX
    if options.skip_merge:
        merge = frozenset()
    said = options.skip_merge is not None or merge
    answers.why["merge"] = Level.MESSAGE if said else Level.DEFAULT
    for name in ("fields", "metadata", "unescaped"):
        answers.why[name] = Level.MESSAGE if getattr(options, name) else Level.DEFAULT
    return {
        "merge": merge,
        "fields": options.fields,
        "unescaped": frozenset(options.unescaped),
        "metadata": options.metadata,
    }


def _utm(answers: _Answers) -> Utm:
    """The message's, which are whole, or those of the settings."""
    if answers.options.utm is not None:
        answers.why["utm"] = Level.MESSAGE
        return answers.options.utm
    settings = answers.settings
    found = Utm(
        **{name: settings[f"utm_{name}"] for name in _UTM},
        domains=tuple(settings["utm_domains"]),
    )
    is_set = any(settings[f"utm_{name}"] for name in _UTM)
    is_own = any(answers.user_settings.get(f"utm_{name}") for name in _UTM)
    answers.why["utm"] = Level.USER if is_own else Level.LIST if is_set else Level.DEFAULT
    return found if is_set else Utm()


def _rest(answers: _Answers, user: SmtpUser) -> dict[str, Any]:
    return {
        "utm": _utm(answers),
        "require_tls": answers.said("require_tls", otherwise=False),
        "bypass_suppression": answers.said("bypass_suppression", otherwise=False),
        "drop": answers.said("drop", otherwise=False),
        "idempotency_key": answers.said("idempotency_key", ""),
        "duplicates": answers.of_user("duplicates", 0.0, user.duplicates),
        "pool": answers.said("pool", ""),
        "own_unsubscribe": answers.of_list("own_unsubscribe", otherwise="keep"),
        "privacy": answers.of_list("privacy"),
        "timezone": answers.of_list("timezone", otherwise="UTC"),
        "feedback_id": answers.of_list("feedback_id", otherwise=""),
        "suppressed_reply": answers.of_list("suppressed_reply", otherwise="accept"),
        "notices": tuple(answers.of_list("notices", otherwise=())),
    }
