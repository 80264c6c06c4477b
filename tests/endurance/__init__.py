"""What the service holds out: kills, failing disks, clocks that jump, long runs.

The modules have scenarios: functions of a `Ground` and of how much is to be done (or test cases, in
``LONG``). The long forms are ``python -m tests.endurance``, the short ones are tests.
"""
