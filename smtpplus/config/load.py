"""Reads, checks and freezes the configuration.

Guarantees: a `Config` holds only known keys with values of the right kind, and what belongs
together is there together. Raises ConfigError naming file, line, key and what was expected, for
all faults at once. Relative paths start at the file's folder, those of ``--set`` at the current
one.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec

from smtpplus.config import sections
from smtpplus.config.kinds import read_kind
from smtpplus.config.named_files import file_faults
from smtpplus.config.source import Origins, Tree, override, read_toml
from smtpplus.config.together import check_together
from smtpplus.values.errors import ConfigError, reason

__all__ = ["Config", "load", "of_values"]

_AT = re.compile(r" - at `\$(.*)`$")
_WORDS = {  # msgspec's words, and ours
    "Object contains unknown field": "unknown key",
    "Object missing required field": "lacks the key",
    "`array`": "a list",
    "`str`": "a string",
    "`int`": "a number",
    "`float`": "a fraction",
    "`bool`": "true or false",
    "`object`": "a table",
}


class Config(sections.Section, frozen=True):
    """The whole configuration. `file` is where it came from."""

    server: sections.Server = sections.Server()
    submission: sections.Submission = sections.Submission()
    relay: sections.Relay = sections.Relay()
    feedback: sections.Feedback = sections.Feedback()
    web: sections.Web = sections.Web()
    dns: sections.Dns = sections.Dns()
    store: sections.Store = sections.Store()
    log: sections.Log = sections.Log()
    metrics: sections.Metrics = sections.Metrics()
    file: Path | None = None

    @property
    def queue_dir(self) -> Path:
        """The queue directory."""
        return self.server.data_dir / "queue"

    @property
    def store_url(self) -> str:
        """Where the store is."""
        return self.store.url or f"sqlite:///{self.queue_dir / 'smtpplus.sqlite3'}"

    @property
    def secret_key_file(self) -> Path:
        """The installation's own secret: 32 random octets in hexadecimal."""
        return self.server.data_dir / "secret.key"

    @property
    def takes_returns(self) -> bool:
        """Is `feedback.listen` listened on? A trial does, though it may have no bounce domain."""
        has_domain = self.feedback.domain is not None or self.relay.deliver == "sandbox"
        return "feedback" in self.server.roles and has_domain

    @property
    def named_files(self) -> dict[str, Path]:
        """The files that keys of this configuration name, by key."""
        named = {
            "submission.certificate": self.submission.certificate,
            "submission.private_key": self.submission.private_key,
            "relay.smarthost_password_file": self.relay.smarthost_password_file,
            "metrics.token_file": self.metrics.token_file,
        }
        return {key: path for key, path in named.items() if path is not None}

    @property
    def public_url(self) -> str:
        """Where browsers find the pages, without a slash at the end."""
        return (self.web.public_url or f"http://{self.web.listen}").rstrip("/")

    @property
    def tracking_url(self) -> str:
        """Where recipients' programs find us, without a slash at the end."""
        return self.web.tracking_url.rstrip("/") or self.public_url

    def smarthost_password(self) -> str:
        """The first line of relay.smarthost_password_file, or "".

        Raises:
            ConfigError: it cannot be read, or is empty.
        """
        return _first_line("relay.smarthost_password_file", self.relay.smarthost_password_file)

    def metrics_token(self) -> str:
        """The first line of metrics.token_file, or "".

        Raises:
            ConfigError: it cannot be read, or is empty.
        """
        return _first_line("metrics.token_file", self.metrics.token_file)

    @property
    def ehlo(self) -> str:
        """The name said in EHLO."""
        return self.relay.ehlo or self.server.hostname


def _first_line(key: str, path: Path | None) -> str:
    if path is None:
        return ""
    try:
        line = path.read_text(encoding="utf-8").partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{key}: {path} cannot be read: {reason(error)}.") from error
    if not line:
        raise ConfigError(f"{key}: {path} has an empty first line.")
    return line


def load(path: Path | None, settings: Iterable[str] = (), *, with_files: bool = False) -> Config:
    """The configuration in the file `path` with the ``section.key=value`` overrides `settings`.

    Without a file: the defaults with the overrides. `with_files`: the certificate, key and
    password files that it names have to be in order, too, as a service needs them.

    Raises:
        ConfigError: every fault found, one a line.
    """
    tree, origins = read_toml(path) if path else ({}, Origins(None))
    override(tree, origins, settings)
    config = _made(tree, origins, path, path.parent if path else Path.cwd())
    if with_files and (faults := file_faults(config, origins)):
        raise ConfigError("\n".join(faults))
    return config


def of_values(values: Tree, path: Path | None) -> Config:
    """The configuration that `effective` says is in effect; `path` is where it came from.

    Raises:
        ConfigError: as `load` does.
    """
    return _made(_said(values), Origins(path), path, Path.cwd())


def _said(values: Tree) -> Tree:
    """Without the keys that have no value, which TOML cannot say."""
    return {
        key: _said(value) if isinstance(value, dict) else value
        for key, value in values.items()
        if value is not None
    }


def _made(tree: Tree, origins: Origins, path: Path | None, base: Path) -> Config:
    faults: list[str] = []
    made = {name: _section(name, part, base, origins, faults) for name, part in tree.items()}
    if faults:
        raise ConfigError("\n".join(faults))
    server = made.get("server") or sections.Server()
    if not server.data_dir.is_absolute():  # the default
        made["server"] = msgspec.structs.replace(server, data_dir=base / server.data_dir)
    config = Config(**made, file=path)
    check_together(config, origins, faults)
    if faults:
        raise ConfigError("\n".join(faults))
    return config


def _section(name: str, part: Any, base: Path, origins: Origins, faults: list[str]) -> Any:
    kinds = {f.name: f.type for f in msgspec.structs.fields(Config) if f.name != "file"}
    if name not in kinds:
        faults.append(f"{origins.of((name,))}: {_unknown(f'[{name}]', 'section', name, kinds)}")
        return None
    if not isinstance(part, dict):
        faults.append(f"{origins.of((name,))}: {name}: expected a section, [{name}].")
        return None
    fields = {f.name: _bare(f.type) for f in msgspec.structs.fields(kinds[name])}
    values: Tree = {}
    for key, value in part.items():
        path = (name, key)
        if key not in fields:
            faults.append(f"{origins.of(path)}: {_unknown('.'.join(path), 'key', key, fields)}")
            continue
        said_here = path in origins.overridden
        raw = _as_list(value, fields[key]) if said_here else value
        hook = functools.partial(read_kind, base=Path.cwd() if said_here else base)
        try:
            values[key] = _convert(path, raw, fields[key], hook)
        except _FaultError as fault:
            faults.append(f"{origins.of(fault.path)}: {'.'.join(fault.path)}{fault}")
    return kinds[name](**values)


class _FaultError(Exception):
    def __init__(self, path: tuple[str, ...], text: str) -> None:
        super().__init__(text)
        self.path = path


def _convert(path: tuple[str, ...], value: Any, kind: Any, hook: Callable[..., Any]) -> Any:
    """`value` as `kind`; the entries of a table one by one, so that a fault names its own."""
    if get_origin(kind) is dict and isinstance(value, dict):
        inner = get_args(kind)[1]
        return {key: _convert((*path, key), one, inner, hook) for key, one in value.items()}
    try:
        return msgspec.convert(value, kind, dec_hook=hook)
    except msgspec.ValidationError as error:
        raise _FaultError(path, _expected(error, value, kind)) from error


def _bare(kind: Any) -> Any:
    """A table's kind without its description, which would hide that it is one."""
    plain = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    return plain if get_origin(plain) is dict else kind


def _as_list(value: Any, kind: Any) -> Any:
    """``--set server.roles=web,relay``: bare words where a list is expected."""
    inner = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    if isinstance(value, str) and get_origin(inner) is tuple:
        return [word.strip() for word in value.split(",") if word.strip()]
    return value


def _unknown(shown: str, what: str, name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    guess = f"did you mean {near[0]}? " if near else ""
    return f"{shown}: unknown {what}; {guess}expected one of {', '.join(known)}."


def _expected(error: msgspec.ValidationError, value: Any, kind: Any) -> str:
    """``.example: expected …`` of msgspec's message, or what the key's kind says of itself."""
    text = str(error)
    match = _AT.search(text)
    where = match[1] if match else ""
    if match:
        text = text[: match.start()]
    if said := _said_of(kind):
        return f"{where}: expected {said}."
    if allowed := _allowed(kind, where):
        found = value[int(where[1:-1])] if where else value
        return f"{where}: expected {allowed}, got {_shown(found)}."
    for theirs, ours in _WORDS.items():
        text = text.replace(theirs, ours)
    if text.startswith("unknown key") and isinstance(kind, type):
        text += f"; expected one of {', '.join(one.name for one in msgspec.structs.fields(kind))}"
    return f"{where}: {text[:1].lower()}{text[1:]}."


def _said_of(kind: Any) -> str:
    """What a key says it takes, in place of a pattern."""
    extras = (meta.extra or {} for meta in getattr(kind, "__metadata__", ()))
    return next((str(extra["expected"]) for extra in extras if "expected" in extra), "")


def _allowed(kind: Any, where: str) -> str:
    """The words that a key takes, or a list of them; "": there is no such choice."""
    plain = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    inner = get_args(plain)[0] if get_origin(plain) is tuple else plain
    if get_origin(inner) is not Literal:
        return ""
    *others, last = [f'"{word}"' for word in get_args(inner)]
    of = "" if inner is plain or where else "a list of "
    return f"{of}{', '.join(others)} or {last}"


def _shown(value: Any) -> str:
    """As it stands in the file, nearly."""
    return msgspec.json.encode(value, enc_hook=str).decode()
