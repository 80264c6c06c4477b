"""The files that a configuration names: whether a service can work with them.

Guarantees: a fault names the key, and where it was said, before what is wrong with the file.
Raises nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from smtpplus.net.certificates import CertificateFiles
from smtpplus.values.errors import ConfigError

if TYPE_CHECKING:
    from smtpplus.config.load import Config
    from smtpplus.config.source import KeyPath, Origins

__all__ = ["file_faults"]


def file_faults(config: Config, origins: Origins) -> list[str]:
    """What is wrong with certificate, key and password files."""
    submission = config.submission
    checks: list[tuple[KeyPath, Callable[[], object]]] = [
        (("relay", "smarthost_password_file"), config.smarthost_password),
        (("metrics", "token_file"), config.metrics_token),
    ]
    if submission.certificate is not None and submission.private_key is not None:
        pair = CertificateFiles(submission.certificate, submission.private_key)
        checks.append((("submission", "certificate"), pair.read))
    faults = []
    for path, check in checks:
        try:
            check()
        except ConfigError as error:
            key = ".".join(path)
            faults.append(f"{origins.of(path)}: {key}: {str(error).removeprefix(f'{key}: ')}")
    return faults
