"""``backup``, ``restore``."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import click

from smtpplus.cli.context import Context, command, pass_context

__all__ = ["backup_command", "restore_command"]


@command("backup")
@click.argument("file", type=click.Path(path_type=Path))
@pass_context
def backup_command(context: Context, file: Path) -> int:
    """Write the whole installation, as it is at this moment, into FILE (a tar); it may run.

    FILE holds the secrets of the installation: keep it as you keep those.
    """
    from smtpplus.backup import back_up

    made = back_up(context.config, file, time.time())
    context.show(
        dataclasses.asdict(made),
        f"Wrote {made.path}: {made.messages} messages, {made.waiting} deliveries waiting, "
        f"{made.files} message files.",
    )
    for one in made.left_out:
        context.note(f"Not in it, keep it yourself: {one}.")
    if made.missing_files:
        context.note(f"{made.missing_files} message files are missing: see `smtpplus doctor`.")
    return 1 if made.missing_files else 0


@command("restore")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--to",
    "folder",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="An empty or new folder for the whole installation, its configuration too.",
)
@pass_context
def restore_command(context: Context, file: Path, folder: Path | None) -> int:
    """Restore FILE: store, queue and secret into the empty data_dir of the configuration.

    A store in PostgreSQL goes into the database that store.url names, which must be empty.

    What was delivered after the backup was taken is queued again, and will be sent again.
    """
    from smtpplus.backup import restore

    config = None if folder is not None else context.config
    to = folder.absolute() if folder is not None else None
    made = restore(file.absolute(), config, to, context.settings)
    context.show(
        dataclasses.asdict(made),
        f"Restored {made.path}: {made.messages} messages, {made.waiting} deliveries waiting, "
        f"{made.files} message files.",
    )
    for one in made.left_out:
        context.note(f"The configuration names a file that is not there: {one}.")
    if made.missing_files:
        context.note(f"{made.missing_files} message files were missing in the backup already.")
    return 1 if made.missing_files else 0
