"""``deltaworks-cli``: the same work as the window, headless.

Commands import what they need when they run, so that help is there at once.
"""

from __future__ import annotations

import atexit
import gc
import os
from typing import Annotated, Any

import typer
import typer.core

from deltaworks.cli import (
    asking,
    comparing,
    contests,
    documents,
    extracting,
    fusing,
    growing,
    listing,
    making,
    measuring,
    packages,
    repairing,
    transferring,
)
from deltaworks.errors import AppError, CancelledError
from deltaworks.product import DISPLAY_NAME, VERSION

EXIT_FAILED, EXIT_CANCELLED = 1, 130
"""Words that the program does not know end with 2; that is typer's own."""


class Program(typer.core.TyperGroup):
    """Turns our errors into one sentence on stderr and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except CancelledError:
            _end("Cancelled; nothing unfinished was left behind.", EXIT_CANCELLED)
        except KeyboardInterrupt:
            _end("Cancelled.", EXIT_CANCELLED)
        except AppError as error:
            _end(str(error), EXIT_FAILED)


def _end(sentence: str, code: int) -> None:
    typer.echo(sentence, err=True)
    raise typer.Exit(code)


app = typer.Typer(
    name="deltaworks-cli",
    cls=Program,
    help="Make fine-tuned models small, merge them, and see what it costs.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    listing.scan,
    listing.inspect,
    listing.compare,
    listing.verify,
    listing.methods,
    making.compress,
    making.rebuild,
    making.merge,
    extracting.extract_lora,
    transferring.transfer,
    repairing.repair,
    measuring.evaluate,
    measuring.sweep,
    comparing.compare_methods,
    contests.compare_merges,
    packages.channel_merge,
    packages.materialise,
    packages.train_router,
    packages.route,
    fusing.fuse,
    growing.grow,
    growing.classify,
    growing.remove_task,
    documents.run,
    documents.plan,
    asking.ask,
    measuring.demo,
):
    app.command()(command)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"{DISPLAY_NAME} {VERSION}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Make fine-tuned models small, merge them, and see what it costs."""
    del version  # the callback has dealt with it


def main() -> None:
    """Run the program with the arguments of the process."""
    # Threads of torch that wait for each other must sleep: spinning on a machine that others
    # use as well doubles the time of small models. Read once, when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # At exit the collector would walk every object that torch made: a third of a second.
    atexit.register(gc.freeze)
    app()
