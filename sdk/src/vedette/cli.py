"""The `vedette` command. The SDK brings `run`, `env` and `upload_scorer`; what the pipeline brings is found by the entry-point group `vedette.commands`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import entry_points

from vedette import __version__

GROUP = "vedette.commands"
WITHOUT_PIPELINE = (
    "this machine has only Vedette's SDK, which knows `vedette run`, `vedette env` and `vedette upload_scorer`; `{command}` comes with the pipeline: install the distribution "
    "`vedette-pipeline` from Vedette's repository beside it"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code: the SDK's own, or one of whatever is installed beside it."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given in (["--version"], ["-V"]):
        print(f"vedette {__version__}")
        return 0
    if given[:1] == ["env"] or given[:1] == ["run"]:
        from vedette import run  # noqa: PLC0415 - the other commands need none of it

        return (run.env if given[0] == "env" else run.run)(given[1:], os.environ)
    if given[:1] in (["upload_scorer"], ["upload-scorer"]):
        from vedette.upload import upload  # noqa: PLC0415

        return upload(given[1:], os.environ)
    for found in entry_points(group=GROUP):
        found.load()(given, prog_name="vedette")  # ends the process with its exit code
        return 0
    return _alone(given)


def _alone(given: Sequence[str]) -> int:
    parser = argparse.ArgumentParser("vedette", description="Vedette for the author of an agent.")
    parser.add_argument("--version", action="version", version=f"vedette {__version__}")
    parser.add_argument(
        "command",
        nargs="?",
        help="run: a program that reports here; env: the variables by which it does; upload_scorer: code that judges on the server",
    )
    known, _ = parser.parse_known_args(given)
    if known.command is None:
        parser.print_help()
        return 0
    print(WITHOUT_PIPELINE.format(command=f"vedette {known.command}"), file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
