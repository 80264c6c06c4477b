"""Documents and code say the same; ``python -m tests.documents`` writes what is missing."""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from tests.documents import ROOT, TITLES, misspelt, operations, rfc_index

_DO = "run `python -m tests.documents` and commit what it wrote"


class CitationTests(SynchronousTestCase):
    def test_the_index_lists_what_the_code_cites(self) -> None:
        index = (ROOT / "docs" / "rfc-index.md").read_text(encoding="utf-8")
        self.assertEqual(index, rfc_index(), _DO)

    def test_every_rfc_has_its_title(self) -> None:
        missing = set(map(int, re.findall(r"^## RFC (\d+)", rfc_index(), re.MULTILINE))) - set(
            TITLES
        )
        self.assertEqual(missing, set(), "give it a title in tests/documents.py")

    def test_citations_have_one_form(self) -> None:
        self.assertEqual(misspelt(), [], "the form is: RFC 5321 §4.5.3.2.5")


class DocumentTests(SynchronousTestCase):
    def test_operations_lists_every_key_of_the_configuration(self) -> None:
        found = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
        self.assertEqual(found, operations(), _DO)

    def test_files_that_the_documents_name_exist(self) -> None:
        for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
            for name in re.findall(
                r"`((?:smtpplus|tests|docs|templates)/[\w./-]*)`", document.read_text()
            ):
                self.assertTrue((ROOT / name).exists(), f"{document.name} names {name}")
