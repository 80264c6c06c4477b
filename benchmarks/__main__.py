"""``python -m benchmarks``: measure, print one table, write it as JSON where asked.

Everything runs on loopback in a folder of its own and is ended by its process id. As root all of
it runs; otherwise, and where a peer is missing, the row says what is needed.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console

from benchmarks import large, latency, memory, pages, rates, stages, tracking
from benchmarks.machine import facts, load_average
from benchmarks.plan import FULL, QUICK, Plan
from benchmarks.programs import MissingError, Programs
from benchmarks.results import Report

_Benchmark = Callable[[Plan, Programs, Report], None]

BENCHMARKS: dict[str, _Benchmark] = {
    "accept": rates.accept,
    "relay": rates.relay,
    "everything": rates.everything,
    "latency": latency.latency,
    "memory": memory.memory,
    "start": memory.start,
    "large": large.large,
    "tracking": tracking.tracking,
    "stages": stages.stages,
    "pages": pages.pages,
}


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(BENCHMARKS)))
@click.option("--quick", is_flag=True, help="Two minutes instead of half an hour.")
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path), help="Write all figures here."
)
@click.option(
    "--postgresql/--no-postgresql",
    default=None,
    help="Also smtpplus on PostgreSQL. Default: in the full form.",
)
@click.option("--rounds", type=click.IntRange(1), help="Runs of each rate.")
@click.option("--tries", type=click.IntRange(1), help="Repeat a run that others disturbed.")
@click.option("--seconds", type=float, help="About how long one run of a rate takes.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where queues lie: the disk that is measured. Default: the system's temporary folder.",
)
@click.option("--events", type=click.IntRange(1000), help="Of the past that pages are read over.")
@click.option(
    "--past",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep that past in this folder, or read the one that is there.",
)
def main(
    names: tuple[str, ...],
    quick: bool,
    json_file: Path | None,
    postgresql: bool | None,
    rounds: int | None,
    tries: int | None,
    seconds: float | None,
    folder: Path | None,
    events: int | None,
    past: Path | None,
) -> None:
    """Measure smtpplus and its peers side by side; all of it, or the benchmarks NAMES."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended
    plan = _plan(quick, rounds, tries, seconds)
    plan = replace(plan, events=events or plan.events, past=past and past.absolute())
    if postgresql is not None:
        plan = replace(plan, with_postgresql=postgresql)
    console, report = Console(), Report()
    with tempfile.TemporaryDirectory(prefix="bench.", dir=folder) as place:
        known = facts(Path(place))
        before = load_average()
        console.print(
            *(f"{key}: {value}" for key, value in known.items()), sep="\n", highlight=False
        )
        for name in names or BENCHMARKS:
            begin = time.monotonic()
            with console.status(name):
                _one(name, plan, Path(place), report)
            console.print(f"{name}: done in {time.monotonic() - begin:.0f} s", highlight=False)
            _write(json_file, known, report)  # what is measured stays, whatever comes
    known |= {"load average": f"{before} before, {load_average()} after"}
    known |= {"form": "quick" if quick else "full"}
    console.print(f"load average: {known['load average']}\n", highlight=False)
    wide = Console(width=max(console.width, 220)) if not console.is_terminal else console
    wide.print(report.table())
    _write(json_file, known, report)


def _write(file: Path | None, known: dict[str, str], report: Report) -> None:
    if file is not None:
        file.write_text(json.dumps({"machine": known, "rows": report.as_json()}, indent=1))


def _plan(quick: bool, rounds: int | None, tries: int | None, seconds: float | None) -> Plan:
    plan = QUICK if quick else FULL
    return replace(
        plan,
        rounds=rounds or plan.rounds,
        tries=tries or plan.tries,
        seconds=seconds or plan.seconds,
    )


def _one(name: str, plan: Plan, place: Path, report: Report) -> None:
    try:
        with Programs(place / name) as programs:
            BENCHMARKS[name](plan, programs, report)
    except MissingError as missing:
        report.skip(name, str(missing))
    except (
        RuntimeError,
        OSError,
        subprocess.SubprocessError,
    ) as failure:  # the others are measured all the same
        report.skip(name, f"failed: {failure}")


if __name__ == "__main__":
    main()
