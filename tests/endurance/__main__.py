"""Runs the long forms: ``python -m tests.endurance [NAME…]``, all of them without a name.

Each name is a module of this package, its test cases those in the module's ``LONG``.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
import unittest

import tests.endurance


def _names() -> list[str]:
    found = [module.name for module in pkgutil.iter_modules(tests.endurance.__path__)]
    return [name for name in found if not name.startswith("_")]


def _suite(names: list[str]) -> unittest.TestSuite:
    load = unittest.defaultTestLoader.loadTestsFromTestCase
    suite = unittest.TestSuite()
    for name in names:
        module = importlib.import_module(f"tests.endurance.{name}")
        for case in getattr(module, "LONG", ()):
            suite.addTest(load(case))
    return suite


def main() -> int:
    """Run what the command line names."""
    names, known = sys.argv[1:], _names()
    unknown = [name for name in names if name not in known]
    if unknown:
        sys.stderr.write(f"There is no {', '.join(unknown)}; there are {', '.join(known)}.\n")
        return 2
    result = unittest.TextTestRunner(verbosity=2).run(_suite(names or known))
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
