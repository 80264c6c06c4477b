"""X-SMTPAPI, which two services call their own: the keys tell whose words they are.

One header may hold keys of both; a message may hold several of these headers. What the first of
them says stands, as SendGrid has it for several headers; of SendGrid's ``sub`` and ``section``, tag
by tag. The recipients of one and the values of another belong together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from smtpplus.message.controls import mailup, sendgrid
from smtpplus.message.controls.convert import an_object
from smtpplus.message.controls.draft import Draft
from smtpplus.message.controls.error import ControlsError
from smtpplus.message.controls.json_text import json_object
from smtpplus.message.controls.sendgrid_recipients import read_recipients
from smtpplus.message.headers import HeaderField

__all__ = ["read"]

_OF_RECIPIENTS = ("to", "sub", "section", "send_each_at")
_BY_TAG = frozenset({"sub", "section"})


def read(fields: Iterable[HeaderField], draft: Draft) -> list[str]:
    """Take in all X-SMTPAPI headers; whose dialects they speak."""
    spoken: dict[str, None] = {}
    of_recipients: dict[str, Any] = {}
    header = ""
    for field in fields:
        header = field.name
        found = json_object(field)
        # The second one cannot be mistaken: none of SendGrid's keys is MailUp's in lower case.
        sendgrids = {key: value for key, value in found.items() if key in sendgrid.KEYS}
        mailups = {key: value for key, value in found.items() if key.lower() in mailup.KEYS}
        if len({key.lower() for key in mailups}) != len(mailups):
            raise ControlsError(field.name, "a key stands there twice, in upper and lower case")
        if mailups:
            spoken["MailUp"] = None
            mailup.read(field.name, mailups, draft)
        if sendgrids:
            spoken["SendGrid"] = None
            sendgrid.read(field.name, sendgrids, draft)
            _unite(field.name, of_recipients, sendgrids)
        for key in found:
            if key not in sendgrids and key not in mailups:
                draft.ignore(f"{field.name} {key}")
    if of_recipients:
        read_recipients(header, of_recipients, draft)
    return list(spoken)


def _unite(header: str, known: dict[str, Any], found: Mapping[str, Any]) -> None:
    """Add what `found` says of recipients; what was said before stands."""
    for key in _OF_RECIPIENTS:
        if key in _BY_TAG:
            tags = known.setdefault(key, {})
            for tag, value in an_object(f"{header} {key}", found.get(key)).items():
                tags.setdefault(tag, value)
        elif found.get(key) not in (None, []):
            known.setdefault(key, found[key])
