"""``doctor``."""

from __future__ import annotations

import dataclasses

import click

from smtpplus.cli.context import Context, command, pass_context

__all__ = ["doctor_command"]


@command("doctor")
@pass_context
def doctor_command(context: Context) -> int:
    """Look for what is wrong with the installation, and say how to mend it.

    Exit status 1 where there is a problem. Changes nothing; the service may be running.
    """
    from smtpplus.doctor import Level, examine

    found = list(examine(context.config))
    if context.as_json:
        context.show_rows((), [dataclasses.asdict(one) for one in found])
    else:
        for one in found:
            click.echo(f"{one.level.value:<8} {one.check:<12} {one.text}")
            if one.mend:
                click.echo(f"{'':<22}→ {one.mend}")
    return int(any(one.level is Level.PROBLEM for one in found))
