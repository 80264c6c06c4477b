"""X-SMTPAPI, which two services call their own: the keys tell whose words they are.

One header may hold keys of both; a message may hold several of these headers. What the first of
them says stands, as SendGrid has it for several headers.
"""

from __future__ import annotations

from collections.abc import Iterable

from smtpplus.message.controls import mailup, sendgrid
from smtpplus.message.controls.draft import Draft
from smtpplus.message.controls.error import ControlsError
from smtpplus.message.controls.json_text import json_object
from smtpplus.message.headers import HeaderField

__all__ = ["read"]


def read(fields: Iterable[HeaderField], draft: Draft) -> list[str]:
    """Take in all X-SMTPAPI headers; whose dialects they speak."""
    spoken: dict[str, None] = {}
    for field in fields:
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
        for key in found:
            if key not in sendgrids and key not in mailups:
                draft.ignore(f"{field.name} {key}")
    return list(spoken)
