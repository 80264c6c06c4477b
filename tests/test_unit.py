"""The systemd unit of docs/: understood by systemd, and as closed as the document says."""

from __future__ import annotations

import re
import shutil
import subprocess

from twisted.trial.unittest import SynchronousTestCase

from tests.documents import ROOT
from tests.folders import folder_of

_ANALYZE = shutil.which("systemd-analyze")


class UnitTests(SynchronousTestCase):
    if _ANALYZE is None:
        skip = "needs systemd-analyze in PATH (Debian: systemd)"

    def setUp(self) -> None:
        text = (ROOT / "docs" / "smtpplus.service").read_text()
        self.unit = folder_of(self) / "smtpplus.service"
        self.unit.parent.mkdir()
        # What is to be run is not installed here.
        self.unit.write_text(re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", text))

    def analyze(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        assert _ANALYZE is not None
        command = [_ANALYZE, *arguments, str(self.unit)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    def test_systemd_understands_it(self) -> None:
        done = self.analyze("verify")
        self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))

    def test_it_is_as_closed_as_the_document_says(self) -> None:
        done = self.analyze("security", "--offline=true")
        found = re.search(r"exposure level for smtpplus.service: ([\d.]+)", done.stdout)
        assert found is not None, done
        document = (ROOT / "docs" / "operations.md").read_text()
        said = re.search(r"systemd-analyze security` gives it ([\d.]+)", document)
        assert said is not None
        self.assertLessEqual(float(found[1]), float(said[1]))
