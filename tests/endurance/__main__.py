"""Runs the scenarios: ``python -m tests.endurance [NAME…] [--short]``, all without a name.

A name is one of `scenarios`, or a module of this package with test cases in its ``LONG`` (those
have no short form here). Prints a line for each: what was measured, or what broke.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
import tempfile
import time
import traceback
import unittest
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

import tests.endurance
from tests.endurance.ground import Alone, Ground
from tests.endurance.scenarios import SCENARIOS


def _modules() -> dict[str, tuple[type[SynchronousTestCase], ...]]:
    """Test cases by the name of their module."""
    found = {}
    for module in pkgutil.iter_modules(tests.endurance.__path__):
        if module.name != "__main__":
            cases = getattr(importlib.import_module(f"tests.endurance.{module.name}"), "LONG", ())
            if cases:
                found[module.name] = cases
    return found


def _run(name: str, *, short: bool) -> bool:
    """One scenario; False where it broke."""
    scenario, alone, begun = SCENARIOS[name], Alone(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix=f"{name}.") as folder:
        # A user of Postfix's writes into it.
        Path(folder).chmod(0o755)
        try:
            found = (scenario.short if short else scenario.long)(Ground(alone, Path(folder)))
            text, good = str(found), True
        except SkipTest as skipped:
            text, good = f"skipped: {skipped}", True
        except Exception:  # noqa: BLE001 - the others run all the same
            text, good = traceback.format_exc(), False
        finally:
            alone.doCleanups()
    seconds = time.monotonic() - begun
    print(
        f"{'ok  ' if good else 'FAIL'} {name} ({scenario.promises}) {seconds:.0f} s: {text}",
        flush=True,
    )
    return good


def main() -> int:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tests.endurance", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--short", action="store_true", help="the forms that the tests run")
    parser.add_argument("--list", action="store_true", help="what there is")
    options = parser.parse_args()
    modules = _modules()
    known = [*SCENARIOS, *modules]
    if options.list:
        print("\n".join(known))
        return 0
    if unknown := [name for name in options.names if name not in known]:
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(known)}")
    good = True
    for name in options.names or known:
        if name in SCENARIOS:
            good = _run(name, short=options.short) and good
        elif not options.short:
            load = unittest.defaultTestLoader.loadTestsFromTestCase
            suite = unittest.TestSuite(load(case) for case in modules[name])
            good = unittest.TextTestRunner(verbosity=2).run(suite).wasSuccessful() and good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
