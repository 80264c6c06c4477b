"""What a list's subjects have in common: patterns that could be campaigns, as a hint.

Guarantees: learning is done in a worker thread, at most once in ten minutes for each list, over
the account's newest messages alone; a bounded number of lists is remembered. Only lists that are
counted by subject have hints. Decides nothing: a person sets a campaign code.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

from smtpplus.rules.list_settings import effective
from smtpplus.rules.subject_learning import LearntPattern, learn
from smtpplus.values.submission import MailList
from smtpplus.web.shell import Shell

__all__ = ["SubjectHints"]

_POLICIES = frozenset({"subject", "dynamic-subject", "sender-subject"})
_MESSAGES = 5_000
_SECONDS = 600.0
_MOST_LISTS = 200
_MOST_HINTS = 5


class SubjectHints:
    """Remembers what was learnt."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._kept: OrderedDict[int, tuple[float, Sequence[LearntPattern]]] = OrderedDict()

    async def of(self, mail_list: MailList) -> Sequence[LearntPattern]:
        """The patterns of most messages, none where the list is not counted by subject."""
        if effective(mail_list.settings)["aggregation"] not in _POLICIES:
            return ()
        ports = self._shell.ports
        now = ports.clock.monotonic()
        kept = self._kept.get(mail_list.id)
        if kept is not None and now - kept[0] < _SECONDS:
            return kept[1]
        counts = await ports.history.subjects(mail_list.id, _MESSAGES)
        found = await ports.workers.run(_learn, counts)
        self._kept[mail_list.id] = (now, found)
        self._kept.move_to_end(mail_list.id)
        while len(self._kept) > _MOST_LISTS:
            self._kept.popitem(last=False)
        return found


def _learn(counts: Mapping[str, int]) -> Sequence[LearntPattern]:
    return learn(counts)[:_MOST_HINTS]
