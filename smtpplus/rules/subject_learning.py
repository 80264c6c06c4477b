"""Subject patterns learnt from what a list sends: what one subject alone does not show.

``Maria Rossi commented on Roadmap`` and a hundred like it differ in words that nothing marks as
variable. `learn` takes how often each subject was sent. A subject that comes again and again
(shipped, arrived, returned) is a message of its own and stays apart. Of the others, words that
many subjects have are kept and the rest become gaps; what many different subjects then share is a
pattern. What is left is tried again with words that more subjects have.

Guarantees: deterministic for equal counts, whatever their order; bounded: the 2,000 subjects sent
most, 40 words of each (some 0.2 s: not for the reactor thread). A learnt pattern matches in time
linear in its words times the subject's; one whose words are not all there costs next to nothing.
Raises nothing. Keeps nothing: the store keeps with the list what `grown` makes of it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from smtpplus.rules.subject_patterns import pattern_of
from smtpplus.values.learnt_pattern import PLACEHOLDER, LearntPattern

__all__ = ["grown", "learn", "match_learnt"]

_MOST_SUBJECTS = 2_000
_MOST_WORDS = 40
_MOST_FILLED = 8  # words that one placeholder stands for
_GAP = PLACEHOLDER
_EXAMPLES = 2
_STEP = 3  # how many times more subjects a word needs at each further try
_MOST_KEPT = 30  # patterns of a list
_SWALLOWS = 4  # so many times a pattern's subjects, and the more general one takes it in


def match_learnt(key: str, learnt: Sequence[LearntPattern]) -> LearntPattern | None:
    """The learnt pattern that fits best (the one with most words of its own), or None."""
    words = key.split()
    there = set(words)
    fitting = [one for one in learnt if one.own <= there and _matches(one.words, words)]
    return max(fitting, key=lambda one: (_own_words(one.words), one.words)) if fitting else None


def learn(
    counts: Mapping[str, int], *, least_subjects: int = 8, most_repeats: int = 10
) -> tuple[LearntPattern, ...]:
    """Patterns to propose for a list, those of most messages first.

    Args:
        counts: messages by subject, as sent (over some weeks).
        least_subjects: so many different subjects make a pattern.
        most_repeats: a subject sent more often is no variant of another, but a message of its own.
    """
    messages: dict[tuple[str, ...], int] = {}
    shown: dict[tuple[str, ...], str] = {}
    for subject, count in sorted(counts.items()):
        pattern = pattern_of(subject)
        words = tuple(pattern.key.split()[:_MOST_WORDS])
        messages[words] = messages.get(words, 0) + count
        shown.setdefault(words, pattern.text)
    variants = [words for words, count in messages.items() if words and count <= most_repeats]
    most = sorted(variants, key=lambda words: (-messages[words], words))[:_MOST_SUBJECTS]
    found = [
        _pattern(words, members, messages, shown)
        for words, members in _without_special_cases(_groups(most, least_subjects)).items()
    ]
    return tuple(sorted(found, key=lambda one: (-one.messages, one.words)))


def grown(
    known: Sequence[LearntPattern], found: Sequence[LearntPattern]
) -> tuple[LearntPattern, ...]:
    """What is known of a list after `found` was learnt of it; at most 30 patterns.

    What was known stays, so that messages go on being counted where they were: found again it has
    the newer numbers, else its hint loses its examples: their messages may be gone. What is
    covered already is nothing new. Where there are too many, those go first that were not found
    again.
    """
    fresh = {one.key: one for one in found}
    kept = [fresh.get(one.key) or replace(one, hint=_hint(one.text, one.subjects)) for one in known]
    keys = {one.key for one in kept}
    for one in found:
        if one.key not in keys and not any(_matches(old.words, one.words) for old in kept):
            kept.append(one)
    if len(kept) > _MOST_KEPT:
        kept.sort(key=lambda one: one.key not in fresh)
    return tuple(kept[:_MOST_KEPT])


_Words = tuple[str, ...]


def _groups(subjects: Sequence[_Words], least: int) -> dict[_Words, list[_Words]]:
    """Patterns with the subjects they have, at least `least` each."""
    found: dict[_Words, list[_Words]] = {}
    left = list(subjects)
    needed = least
    while len(left) >= max(needed, least):
        known_by = Counter(word for words in left for word in set(words))
        groups: defaultdict[_Words, list[_Words]] = defaultdict(list)
        for words in left:
            groups[_with_gaps(words, {word for word in words if known_by[word] >= needed})].append(
                words
            )
        made = {
            words: members
            for words, members in groups.items()
            if len(members) >= least and _is_worth(words)
        }
        found |= {words: found.get(words, []) + members for words, members in made.items()}
        left = [
            words for words, members in groups.items() if words not in made for words in members
        ]
        needed *= _STEP
    return found


def _with_gaps(words: _Words, kept: Iterable[str]) -> _Words:
    pattern: list[str] = []
    for word in words:
        if word in kept and word != _GAP:
            pattern.append(word)
        elif not pattern or pattern[-1] != _GAP:
            pattern.append(_GAP)
    return tuple(pattern)


def _without_special_cases(groups: dict[_Words, list[_Words]]) -> dict[_Words, list[_Words]]:
    """Patterns that are a small part of a more general one go into that."""
    kept: dict[_Words, list[_Words]] = {}
    for words in sorted(groups, key=lambda words: (_own_words(words), words)):
        members = groups[words]
        into = [
            general
            for general, theirs in kept.items()
            if len(theirs) >= _SWALLOWS * len(members) and _matches(general, words)
        ]
        if into:
            kept[max(into, key=lambda general: (_own_words(general), general))] += members
        else:
            kept[words] = list(members)
    return kept


def _pattern(
    words: _Words,
    members: Sequence[_Words],
    messages: Mapping[_Words, int],
    shown: Mapping[_Words, str],
) -> LearntPattern:
    members = sorted(members)
    examples = " and ".join(f"“{shown[one]}”" for one in members[:_EXAMPLES])
    text = _shown(words, shown[members[0]])
    return LearntPattern(
        words,
        text,
        len(members),
        sum(messages[one] for one in members),
        _hint(text, len(members), f" such as {examples}"),
    )


def _hint(text: str, subjects: int, examples: str = "") -> str:
    return (
        f"{subjects} subjects{examples} can count as one campaign, “{text}”."
        " A campaign code in the messages names it and needs no guessing."
    )


def _matches(pattern: Sequence[str], words: Sequence[str]) -> bool:
    """Does `pattern` fit, each gap filled by none to `_MOST_FILLED` words?"""
    ends = {0}  # how many words may be used up after the part of the pattern seen so far
    for part in pattern:
        if part == _GAP:
            ends = {end + more for end in ends for more in range(_MOST_FILLED + 1)}
            ends = {end for end in ends if end <= len(words)}
        else:
            ends = {end + 1 for end in ends if end < len(words) and words[end] == part}
        if not ends:
            return False
    return len(words) in ends


def _own_words(words: tuple[str, ...]) -> int:
    return len(words) - words.count(_GAP)


def _is_worth(words: _Words) -> bool:
    """Two words of its own and a gap at least, one of them more than a particle."""
    long = any(len(word) > 2 and any(map(str.isalpha, word)) for word in words)
    return long and _GAP in words and _own_words(words) >= 2


def _shown(words: tuple[str, ...], example: str) -> str:
    """The pattern in the writing of an example: capitals come back."""
    written = {word.casefold(): word for word in reversed(example.split())}
    return " ".join("{text}" if word == _GAP else written.get(word, word) for word in words)
