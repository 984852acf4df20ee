"""The network's time by an outside judge: OpenVINO's benchmark_app, which comes with its wheel.

It is given the file that vesselrt loaded, the shapes of window that the network was given, as many threads, one stream
and one request at a time, so it times what vesselrt's network time is made of, without vesselrt.
"""

import tempfile
from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from json import loads
from pathlib import Path

from vesselrt.benchmarks.bench_report import JudgedNetwork
from vesselrt.benchmarks.measure import MIN_RUNS, run_python
from vesselrt.runtime.backends import Info

# vesselrt's import turns off the telemetry that OpenVINO's would send.
_PROGRAM = "import vesselrt.runtime.telemetry; from openvino.tools.benchmark.main import main; main()"


def find_objection(info: Info) -> str | None:
    """Why benchmark_app can't judge what vesselrt ran on; None where it can."""
    if info.backend != "openvino":
        return f"it knows OpenVINO alone, and vesselrt ran on {info.backend}."
    try:
        missing = find_spec("openvino.tools.benchmark.main") is None
    except ImportError:
        missing = True
    return "it is not part of the OpenVINO that is installed. Run: pip install openvino" if missing else None


def judge_network(
    model: Path, info: Info, windows: Sequence[tuple[int, ...]], runs: int, network: float
) -> JudgedNetwork:
    """Runs benchmark_app on each shape of `windows`. `network`: vesselrt's median time in the network, ms.

    Raises VesselrtError when it fails.
    """
    counts, runs = Counter(windows), max(runs, MIN_RUNS)
    found = {shape: _run_benchmark_app(model, info, shape, runs) for shape in counts}
    p50 = sum(count * found[shape][0] for shape, count in counts.items())
    least = sum(count * found[shape][1] for shape, count in counts.items())
    return JudgedNetwork(p50, least, runs, network / p50)


def arguments_of(model: Path, info: Info, shape: tuple[int, ...], runs: int, folder: Path) -> list[str]:
    """The options of benchmark_app that name what vesselrt computes; its report goes into the folder."""
    precision = "bf16" if info.precision == "bf16" else "f32"  # of what the graph leaves in floating point
    return [
        *("-m", str(model), "-d", "CPU", "-shape", str(list(shape)), "-infer_precision", precision),
        # `none`: it takes threads and streams with no other. One request at a time, by its `sync`.
        *("-hint", "none", "-nstreams", "1", "-nthreads", str(info.threads), "-api", "sync", "-niter", str(runs)),
        *("-report_type", "no_counters", "-json_stats", "-report_folder", str(folder)),
    ]


def _run_benchmark_app(model: Path, info: Info, shape: tuple[int, ...], runs: int) -> tuple[float, float]:
    """Median and least time of a call, ms."""
    with tempfile.TemporaryDirectory() as folder:
        run_python("benchmark_app", ["-c", _PROGRAM, *arguments_of(model, info, shape, runs, Path(folder))])
        report = loads((Path(folder) / "benchmark_report.json").read_bytes())
    results = report["execution_results"]
    return float(results["latency (ms)"]), float(results["min latency"])
