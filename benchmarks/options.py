"""Options that several commands share."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from vesselrt.runtime.errors import OptionError

PhotoFiles = Annotated[
    list[Path] | None, typer.Option("--photo", help="Photograph to measure instead of sizes; repeat for more.")
]
ModelName = Annotated[str | None, typer.Option("--model", help="Built-in model or model file; default: fundus.")]
DeviceName = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, or one library of these.")]
PrecisionName = Annotated[str, typer.Option("--precision", help="auto, f32, bf16, fp16 or int8.")]
ThreadCount = Annotated[int | None, typer.Option("--threads", help="Processor cores to use; default: all that it may.")]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Write all figures to this file.")]


def check_choices(option: str, given: Iterable[str] | None, offered: Iterable[str]) -> list[str]:
    """What was given for an option that repeats, or all that is offered. Raises OptionError for anything else."""
    known = list(offered)
    chosen = list(given or known)
    for value in chosen:
        if value not in known:
            raise OptionError(f"{option} is {value!r}. Expected one of: {', '.join(known)}.")
    return chosen
