"""The configuration: one frozen value, read and checked before anything starts."""

from smtpplus.config.kinds import Endpoint, HostName, NameServer, Network, Period
from smtpplus.config.load import Config, load
from smtpplus.config.source import find_file

__all__ = ["Config", "Endpoint", "HostName", "NameServer", "Network", "Period", "find_file", "load"]
