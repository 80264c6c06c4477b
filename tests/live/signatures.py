"""DKIM signatures, judged by other people's programs."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import dkim

from tests.live.peers import needs

__all__ = ["opendkim_verifies", "valid_signatures"]


def valid_signatures(content: bytes, keys: Mapping[bytes, bytes]) -> list[bool]:
    """Of each DKIM-Signature by a domain that has a record in `keys`: does dkimpy verify it?"""

    def record(name: bytes | str, **_: object) -> bytes | None:
        return keys.get(name if isinstance(name, bytes) else name.encode())

    verifier = dkim.DKIM(content)
    names = [
        re.sub(rb"\s", b"", value)
        for name, value in verifier.headers
        if name.lower() == b"dkim-signature"
    ]
    return [
        bool(verifier.verify(idx=number, dnsfunc=record))
        for number, tags in enumerate(names)
        if _record_name(tags) in keys
    ]


def _record_name(tags: bytes) -> bytes:
    found = dict(tag.partition(b"=")[::2] for tag in tags.split(b";"))
    return found.get(b"s", b"") + b"._domainkey." + found.get(b"d", b"") + b"."


def opendkim_verifies(
    mails: Sequence[bytes], keys: Mapping[bytes, bytes], directory: Path
) -> list[str]:
    """What opendkim says of each mail (CRLF or LF line ends); "" where it verifies."""
    program = needs("opendkim")
    directory.mkdir()
    records = directory / "keys"
    records.write_text(
        "".join(f"{name.decode().rstrip('.')} {text.decode()}\n" for name, text in keys.items())
    )
    configuration = directory / "opendkim.conf"
    configuration.write_text(f"Mode v\nTestDNSData file:{records}\nMaximumSignaturesToVerify 1\n")
    said = []
    for number, mail in enumerate(mails):
        path = directory / f"{number}.eml"
        # It reads a file with LF line ends, as a mailbox has them.
        path.write_bytes(mail.replace(b"\r\n", b"\n"))
        done = subprocess.run(
            [program, "-x", str(configuration), "-v", "-t", str(path)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        path.unlink()
        text = done.stdout + done.stderr
        said.append("" if re.search(r"verification \(.*\) succeeded", text) else text or "nothing")
    return said
