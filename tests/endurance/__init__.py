"""The long forms of the tests of faults: ``python -m tests.endurance``."""
