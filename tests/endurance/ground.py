"""What a scenario stands on: a folder, and what is to be undone; inside of trial and outside."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

__all__ = ["Ground"]


class Ground:
    """`directory` is the scenario's own; `test` undoes at its end what was started."""

    def __init__(self, test: SynchronousTestCase, directory: Path) -> None:
        self.test = test
        self.directory = directory

    def folder(self, name: str) -> Path:
        """A new folder."""
        path = self.directory / name
        path.mkdir(parents=True)
        return path


class Alone(SynchronousTestCase):
    """Carries the cleanups where no test runs."""

    def runTest(self) -> None:
        """Nothing: the scenario is called by itself."""
