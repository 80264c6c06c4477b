"""A folder for each test, gone with it: a store reserves room, and there are two thousand tests."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

__all__ = ["folder_of"]


def folder_of(test: SynchronousTestCase) -> Path:
    """Where a folder of `test` may be made: absolute, nothing is there yet.

    It is removed behind everything that the test begins after this call. With KEEP_FOLDERS set in
    the environment it stays, to be looked at.
    """
    folder = Path(test.mktemp()).resolve()
    if not os.environ.get("KEEP_FOLDERS"):
        test.addCleanup(shutil.rmtree, folder, ignore_errors=True)
    return folder
