"""The log: what happens, as lines of JSON, written by a thread of its own."""

from smtpplus.log.events import JsonLines, LeastLevel, json_log
from smtpplus.log.mail import MailLog, UserNames
from smtpplus.log.writer import LogWriter

__all__ = ["JsonLines", "LeastLevel", "LogWriter", "MailLog", "UserNames", "json_log"]
