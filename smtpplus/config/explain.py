"""The configuration in effect, and what its keys mean: for ``check-config`` and the docs.

Guarantees: values are printed as they would stand in the file. No key holds a secret: those
are in files of their own.
"""

from __future__ import annotations

from typing import Any

import msgspec

from smtpplus.config.load import Config

__all__ = ["effective", "explained", "toml"]


def effective(config: Config) -> dict[str, Any]:
    """Section, key, value, for JSON; keys without a value are None."""
    found: dict[str, Any] = msgspec.to_builtins(config, enc_hook=str, builtin_types=())
    found.pop("file")
    return found


def explained(config: Config) -> dict[str, dict[str, dict[str, Any]]]:
    """Section, key, and of it the value and default as TOML, and the meaning."""
    values, defaults = effective(config), effective(Config())
    return {
        field.name: {
            key.name: {
                "value": _toml_or_none(values[field.name][key.name]),
                "default": _toml_or_none(defaults[field.name][key.name]),
                "meaning": meaning(key.type),
            }
            for key in msgspec.structs.fields(field.type)
        }
        for field in msgspec.structs.fields(Config)
        if field.name != "file"
    }


def meaning(kind: Any) -> str:
    """What a key's annotation says of it."""
    metas = getattr(kind, "__metadata__", ())
    return next((meta.description for meta in metas if meta.description), "")


def _toml_or_none(value: Any) -> str | None:
    """None, which TOML has not, stays None."""
    return None if value is None else toml(value)


def toml(value: Any) -> str:
    """`value` as it stands in a TOML file."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(toml(one) for one in value)}]"
    if isinstance(value, dict):
        said = {key: one for key, one in value.items() if one is not None}
        inner = ", ".join(f"{toml(key)} = {toml(one)}" for key, one in said.items())
        return f"{{{inner}}}"
    # TOML's basic strings are JSON's.
    return msgspec.json.encode(str(value)).decode()
