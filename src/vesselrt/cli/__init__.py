"""The command line: the one place that knows every folder. Each command imports what it needs and no more."""

import logging
import os
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from vesselrt.cli import export, measure, measurements, models, predict, serve, training
from vesselrt.cli.console import fail
from vesselrt.cli.options import with_verbosity
from vesselrt.runtime.errors import VesselrtError

app = typer.Typer(
    help="Segments blood vessels in eye photographs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    predict.predict, measurements.measure, serve.serve, models.models, models.info, measure.evaluate, measure.compare,
    training.outline, training.train, export.export, export.convert, serve.triton, serve.receive,
):  # fmt: skip
    app.command()(with_verbosity(command))
app.command("compile")(with_verbosity(export.compile_model))
# Its options are its own: they are the Typer application of vesselrt.benchmarks.
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True}, add_help_option=False)(
    with_verbosity(measure.bench)
)
_engine = typer.Typer(help="Look at engine files.", no_args_is_help=True)
_engine.command("info")(with_verbosity(models.engine_info))
app.add_typer(_engine, name="engine")


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"vesselrt {version('vesselrt')}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Segments blood vessels in eye photographs."""


def main() -> None:
    """Runs a command; errors become one line and exit code 1, Ctrl+C exit code 130."""
    logging.basicConfig(format="%(message)s")
    logging.getLogger("vesselrt").setLevel(logging.INFO)  # what takes long, and what is not there
    try:
        app(prog_name="vesselrt")
    except VesselrtError as error:
        fail(str(error))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader left: no complaint at exit
        sys.exit(1)
    except OSError as error:  # a full disk, a folder that may not be written
        fail(str(error))
    except KeyboardInterrupt:  # once more, while a command was ending
        sys.exit(130)
