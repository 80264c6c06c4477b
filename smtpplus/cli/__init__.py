"""``smtpplus``: administration from a shell, beside a running service.

Every command takes ``--json`` and ``--help``. Exit status: 0 done, 1 refused or failed (one
line on standard error says why), 2 wrongly called.
"""

from smtpplus.cli.program import main

__all__ = ["main"]
