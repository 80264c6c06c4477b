"""Regular expressions mean the same on every Python that is supported."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).resolve().parent.parent
# The end of a group that is repeated possessively; `()*+` are letters of a set.
_POSSESSIVE_GROUP = re.compile(r"(?<!\()\)(?:[*+?]|\{[0-9,]+\})\+")


class ExpressionsTests(SynchronousTestCase):
    def test_no_group_is_repeated_possessively(self) -> None:
        """Python 3.11.0 to 3.11.4 match `(?:ab?c)*+` wrongly (its issue 106052): `(?>(?:ab?c)*)`."""
        for path in sorted((ROOT / "smtpplus").rglob("*.py")):
            for number, line in enumerate(path.read_text().splitlines(), 1):
                found = _POSSESSIVE_GROUP.search(line)
                self.assertIsNone(found, f"{path.relative_to(ROOT)}:{number}: write (?>(?:…)*)")
