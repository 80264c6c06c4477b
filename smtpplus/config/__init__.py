"""The configuration: one frozen value, read and checked before anything starts."""

from smtpplus.config.explain import effective
from smtpplus.config.kinds import Endpoint, HostName, NameServer, Network, Period
from smtpplus.config.load import Config, load, of_values
from smtpplus.config.source import TRIAL_FOLDER, find_configuration, find_file

__all__ = [
    "TRIAL_FOLDER",
    "Config",
    "Endpoint",
    "HostName",
    "NameServer",
    "Network",
    "Period",
    "effective",
    "find_configuration",
    "find_file",
    "load",
    "of_values",
]
