"""The options of `vesselrt bench` alone, and what is wrong with them: exit code 2."""

import math
from pathlib import Path
from typing import Annotated

import typer

from vesselrt.benchmarks.bench_report import Effort
from vesselrt.benchmarks.photos import SIZES
from vesselrt.runtime.symmetry import Tta

Sizes = Annotated[
    list[str] | None,
    typer.Option("--size", metavar="WxH", help=f"Size to measure; repeat for more; default: {', '.join(SIZES)}."),
]
Runs = Annotated[
    int | None, typer.Option("--runs", min=3, max=100_000, help="Timed calls on each photograph; default: 20.")
]
Duration = Annotated[
    float | None,
    typer.Option(
        "--duration",
        min=0.1,
        max=3600,
        help="Seconds for each photograph instead of --runs, with its warm-up and all columns; 3 runs are always made.",
    ),
]
WarmUp = Annotated[
    int, typer.Option("--warm-up", min=0, max=1000, help="Calls on each photograph before the first that counts.")
]
Starts = Annotated[
    int, typer.Option("--starts", min=0, max=100, help="Fresh processes for cold start; 0: neither it nor memory.")
]
Concurrency = Annotated[
    int,
    typer.Option(
        "--concurrency", min=1, max=256, help="Threads that share one model and call at once, measured too; 1: none."
    ),
]
Batch = Annotated[
    int | None,
    typer.Option(
        "--batch",
        min=1,
        max=64,
        help="Windows of a photograph that the network is given at once; default: what suits the device.",
    ),
]
TestTimeAugmentation = Annotated[
    Tta, typer.Option("--tta", help="Measure with flips (4 maps of each photograph) or d4 (8 maps), as of predict.")
]
Compare = Annotated[
    bool,
    typer.Option(
        "--compare",
        help="Run PyTorch, ONNX Runtime and OpenVINO with MONAI beside it, in f32 and in its own precision, and "
        "OpenVINO's benchmark_app on its network.",
    ),
]
Mixed = Annotated[
    bool,
    typer.Option("--mixed", help="Measure a folder of ten cameras, drawn, beside folders of one camera each."),
]
DataFolder = Annotated[
    Path | None,
    typer.Option("--data", help="Folder of CHASE_DB1 and HRF: photographs for the sizes, and F1 with --compare."),
]
Images = Annotated[
    int, typer.Option("--images", min=1, help="With --compare and --data: test photographs of each set.")
]
Plot = Annotated[Path | None, typer.Option("--plot", help="Draw every run, by part and photograph: .png or .svg.")]
From = Annotated[
    Path | None, typer.Option("--from", help="Measure nothing: take the figures that --json wrote to this file.")
]
Against = Annotated[
    Path | None, typer.Option("--against", help="Print the ratios to older figures, which --json wrote to this file.")
]
SlowerThan = Annotated[
    str | None,
    typer.Option(
        "--slower-than",
        metavar="PERCENT",
        help="With --against: exit code 1 where a photograph surely takes so much longer end to end, like 5%.",
    ),
]

_WITH_FROM = {"json", "plot", "source", "against", "slower_than"}


def effort_from_options(
    runs: int | None, duration: float | None, warm_up: int, concurrency: int, batch: int | None
) -> Effort:
    """Raises BadParameter for both runs and a duration."""
    if runs is not None and duration is not None:
        raise typer.BadParameter("it takes the place of --runs: give one of them.", param_hint="--duration")
    return Effort(Effort.runs if runs is None else runs, duration, warm_up, concurrency, batch)


def limit_from_percent(text: str | None, against: Path | None) -> float | None:
    """`5%` or `5` as .05. Raises BadParameter for anything else, for what is below 0, and without --against."""
    if text is None:
        return None
    if against is None:
        raise typer.BadParameter("it needs --against: than what?", param_hint="--slower-than")
    try:
        percent = float(text.strip().removesuffix("%"))
    except ValueError:
        percent = math.nan
    if not 0 <= percent < math.inf:
        raise typer.BadParameter(f"{text!r} is no percentage. Expected one like 5%.", param_hint="--slower-than")
    return percent / 100


def check_only_read(context: typer.Context) -> None:
    """Raises BadParameter for options that say how to measure, beside --from."""
    sources = {name: context.get_parameter_source(name) for name in context.params if name not in _WITH_FROM}
    given = [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
    if given:
        named = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(given))
        raise typer.BadParameter(f"nothing is measured with it: leave out {named}.", param_hint="--from")
