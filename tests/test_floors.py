"""Imports go down the floors only (docs/flow.md)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).resolve().parent.parent
FLOORS = (
    {"values"},
    {"smtp", "message", "rules"},
    {"ports"},
    {"store", "net"},
    {"submission", "relay", "feedback", "web", "sandbox"},
    {
        "config",
        "settings",
        "reload",
        "ownership",
        "parts",
        "parent",
        "backup",
        "doctor",
        "log",
        "installation",
        "banner",
        "assembly",
        "hangup",
        "stopping",
        "sibling",
        "siblings",
        "trial",
        "tuning",
        "tap",
        "writer",
        "cli",
        "metrics",
    },
)
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}
WITH_THREADS = {
    "smtpplus/store/transactions.py",
    "smtpplus/net/workers.py",
    "smtpplus/log/writer.py",
}
THREADS = (
    "threading",
    "_thread",
    "concurrent.futures",
    "twisted.internet.threads",
    "twisted.python.threadpool",
)


def imports() -> Iterator[tuple[str, str, str]]:
    """Each import of the package: the file, the package or module it belongs to, what it takes."""
    for path in sorted((ROOT / "smtpplus").rglob("*.py")):
        file = str(path.relative_to(ROOT))
        part = path.relative_to(ROOT / "smtpplus").parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text(), file)):
            if isinstance(node, ast.Import):
                yield from ((file, part, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{file}: imports are absolute"
                yield from ((file, part, f"{node.module}.{alias.name}") for alias in node.names)


class FloorsTests(SynchronousTestCase):
    def test_every_module_stands_on_a_floor_and_imports_from_below(self) -> None:
        for file, part, name in imports():
            if part == "__init__":
                self.fail(f"{file} imports {name}")
            self.assertIn(part, FLOOR, f"{file} stands on no floor")
            top, _, rest = name.partition(".")
            other = rest.partition(".")[0]
            if top == "smtpplus" and other != part and other in FLOOR:
                above = FLOOR[other] >= FLOOR[part] and FLOOR[part] < len(FLOORS) - 1
                self.assertFalse(above, f"{file} imports {name}, which is not below it")

    def test_no_twisted_below_the_third_floor(self) -> None:
        for file, part, name in imports():
            if FLOOR[part] < 3:
                self.assertFalse(name.startswith("twisted."), f"{file} imports {name}")

    def test_the_global_reactor_is_imported_in_tap_alone(self) -> None:
        for file, part, name in imports():
            if name.startswith("twisted.internet.reactor"):
                self.assertEqual(part, "tap", file)

    def test_threads_are_made_in_three_files_alone(self) -> None:
        for file, _, name in imports():
            if name.startswith(THREADS):
                self.assertIn(file, WITH_THREADS, f"{file} imports {name}")
