"""Which of its codes for RSA OpenSSL is told to take, and that it is told in time."""

from __future__ import annotations

import os
import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from smtpplus.tuning import rsa_wants
from tests.folders import folder_of

# A service's process, but with a processor of our own: what the environment says as OpenSSL is
# loaded.
_LOADED = """\
import os, sys
from pathlib import Path
from smtpplus import tuning
tuning._PROCESSOR = Path(sys.argv[1])
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "cryptography.hazmat.bindings._rust":
            print(os.environ.get("OPENSSL_ia32cap"))
sys.meta_path.insert(0, Finder())
import smtpplus.tap
"""


_ZEN_3 = "cpu:type:x86,ven0002fam0019mod0001:feature:,0000,0001,0120,0123,0125,0128,0133\n"


class WhichRsaTests(SynchronousTestCase):
    def test_zen_3_signs_without_adx(self) -> None:
        for model in ("0001", "0021", "0050"):
            self.assertEqual(rsa_wants(_ZEN_3.replace("mod0001", f"mod{model}")), ":~0x80000")

    def test_others_are_left_as_they_are(self) -> None:
        for other in (
            _ZEN_3.replace("ven0002", "ven0000"),
            _ZEN_3.replace("fam0019", "fam0017"),
            _ZEN_3.replace("mod0001", "mod0011"),
            _ZEN_3.replace("mod0001", "mod0061"),
            _ZEN_3.replace(",0125", ""),
            "cpu:type:aarch64:feature:,0000,0001\n",
            "",
        ):
            with self.subTest(processor=other):
                self.assertIsNone(rsa_wants(other))


class InTimeTests(SynchronousTestCase):
    def loaded(self, said: str | None = None) -> str:
        of_amd = folder_of(self)
        of_amd.write_text(_ZEN_3)
        surroundings = {k: v for k, v in os.environ.items() if k != "OPENSSL_ia32cap"}
        if said is not None:
            surroundings["OPENSSL_ia32cap"] = said
        done = subprocess.run(
            [sys.executable, "-c", _LOADED, str(of_amd)],
            env=surroundings | {"PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return done.stdout

    def test_it_is_said_before_openssl_is_loaded(self) -> None:
        self.assertEqual(self.loaded(), ":~0x80000\n")

    def test_what_the_administrator_says_stays(self) -> None:
        self.assertEqual(self.loaded(":~0x0"), ":~0x0\n")
