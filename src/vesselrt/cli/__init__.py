"""The command line: the one place that knows every folder. Each command imports what it needs and no more."""

import logging
import os
import sys

import typer

from vesselrt.cli import export, measure, models, predict, serve, training
from vesselrt.cli.console import fail
from vesselrt.runtime.errors import VesselrtError

app = typer.Typer(
    help="Segments blood vessels in eye photographs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(predict.predict)
app.command()(serve.serve)
app.command()(models.models)
app.command()(measure.evaluate)
app.command()(measure.compare)
app.command()(training.outline)
app.command()(training.train)
app.command()(export.export)
app.command()(export.convert)
app.command("compile")(export.compile_model)
# Its options are its own: they are the Typer application of vesselrt.benchmarks.
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True}, add_help_option=False)(
    measure.bench
)
_engine = typer.Typer(help="Look at engine files.", no_args_is_help=True)
_engine.command("info")(models.engine_info)
app.add_typer(_engine, name="engine")


def main() -> None:
    """Runs a command; errors become one line and exit code 1."""
    logging.basicConfig(format="%(message)s")
    logging.getLogger("vesselrt").setLevel(logging.INFO)  # what takes long, and what was not to be had
    try:
        app(prog_name="vesselrt")
    except VesselrtError as error:
        fail(str(error))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader left: no complaint at exit
        sys.exit(1)
    except OSError as error:  # a full disk, a folder that may not be written
        fail(str(error))
