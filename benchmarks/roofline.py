"""How far each stage is from what this processor can do at most: the roofline.

    python -m vesselrt.benchmarks.roofline --size 565x584 --json roofline.json

After Williams, Waterman and Patterson (Communications of the ACM 52, 2009):

    time >= max(operations / peak of operations, bytes / bandwidth of memory)

Both peaks are measured (`peaks`), and so are the stages. The network's operations and bytes are counted in its f32
graph (`floor`), as if all of it were computed in the one precision. Of its limits, `fused` reads the input and the
weights once and writes the result: nothing can be faster. `layer by layer` reads and writes memory in each operation:
what is faster than that keeps values in the caches. The other stages count the bytes that they must read and write, and
no operations: decoding and encoding compute a lot for each, so they are far from this limit.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import typer

from vesselrt.benchmarks.bench_report import NETWORK, Effort
from vesselrt.benchmarks.bench_run import measure_photo
from vesselrt.benchmarks.floor import Floor, ImageWork, count_work
from vesselrt.benchmarks.machine_facts import describe_afterwards, describe_machine
from vesselrt.benchmarks.measure import LoadOptions, Subject
from vesselrt.benchmarks.options import JsonFile, ModelName, PhotoFiles, PrecisionName, ThreadCount
from vesselrt.benchmarks.peaks import Peaks, measure_peaks
from vesselrt.benchmarks.photos import Photo, choose_photos
from vesselrt.benchmarks.reports import MeasurementReport, report_head
from vesselrt.benchmarks.tables import render_table
from vesselrt.runtime.backends import Info
from vesselrt.runtime.errors import OptionError, as_command
from vesselrt.runtime.manifest import Manifest, Precision
from vesselrt.runtime.modelfile import find_model_file, read_manifest
from vesselrt.runtime.photo.decoding import Limits
from vesselrt.runtime.photo.photograph import Photograph

SCHEMA = 1
VALUE_BYTES: dict[Precision, int] = {"f32": 4, "bf16": 2, "fp16": 2, "int8": 1}
"""Of a value inside the network."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True)
class StageLimit:
    """A stage and the least time that it could take."""

    stage: str
    milliseconds: float
    """Median of its runs."""
    operations: int
    bytes: int
    limit: float
    """ms."""
    bound: str
    """`operations` or `memory`: which of the two is the limit."""

    @property
    def share(self) -> float:
        """The limit / the measured time: 1 is as fast as it can be."""
        return self.limit / self.milliseconds


@dataclass(frozen=True)
class PhotoLimits:
    """The stages on one photograph."""

    photo: str
    source: str
    runs: int
    stages: list[StageLimit]


@dataclass(frozen=True, kw_only=True)
class RooflineReport(MeasurementReport):
    """All figures."""

    info: Info
    peaks: Peaks
    photos: list[PhotoLimits]

    def table(self) -> str:
        """For the terminal."""
        peaks, machine = self.peaks, self.machine
        rates = ", ".join(f"{name} {rate / 1e9:.0f}" for name, rate in peaks.operations.items())
        memory = f"memory {peaks.bandwidth / 1e9:.1f} GB/s, of one thread {peaks.bandwidth_alone / 1e9:.1f}"
        lines = [
            f"{self.model['name']} {self.model['version']} on {self.info}; {machine['os']}",
            f"peaks, measured: {rates} GFLOP/s; {memory}",
        ]
        titles = ["stage", "bound by", "ms, p50", "limit ms", "limit / time", "GFLOP", "MB"]
        for photo in self.photos:
            table = render_table(titles, [_stage_row(stage) for stage in photo.stages], texts=2)
            lines += ["", f"{photo.photo} ({photo.source}), {photo.runs} runs", table]
        return "\n".join(lines)


def _stage_row(stage: StageLimit) -> list[str]:
    figures = (f"{stage.milliseconds:.2f}", f"{stage.limit:.3f}", f"{stage.share:.1%}")
    operations = f"{stage.operations / 1e9:.2f}" if stage.operations else ""
    return [stage.stage, stage.bound, *figures, operations, f"{stage.bytes / 1e6:.2f}"]


def stage_limits(
    photo: Photo, mask: bytes, manifest: Manifest, milliseconds: dict[str, float], bandwidth: float
) -> Iterator[StageLimit]:
    """Those of the stages around the network, by the bytes that each has to read and to write.

    `mask`: the PNG. `milliseconds`: stage → its median. `bandwidth`: of one thread, bytes a second.
    """
    photograph = Photograph(photo.data, Limits())
    decoded = photograph.decode(manifest.preparation)
    views = photograph.prepare(decoded, manifest.preparation)
    pixels, scaled = decoded.pixels.nbytes, sum(view.pixels.nbytes for view in views.prepared)
    probabilities = sum(view.pixels.shape[0] * view.pixels.shape[1] for view in views.prepared)
    whole = photo.width * photo.height
    moved = {
        "decode": len(photo.data) + pixels,
        "prepare": pixels + scaled,
        "finish": probabilities + whole,
        "encode": 3 * whole + len(mask),  # the map becomes a mask, which is read again
    }
    for stage, count in moved.items():
        yield StageLimit(stage, milliseconds[stage], 0, count, 1e3 * count / bandwidth, "memory")


def network_limits(
    work: ImageWork, precision: Precision, peaks: Peaks, milliseconds: float
) -> tuple[StageLimit, StageLimit]:
    """Fused, and layer by layer."""
    rate, bandwidth = peaks.operations[precision], peaks.bandwidth
    floor = Floor.of(work, rate, bandwidth)
    ends, between = work.ends + work.weights, sum(layer.weights + layer.activations for layer in work.layers)
    by_memory = sum(
        layer.seconds(rate, bandwidth)
        for layer in work.layers
        if (layer.weights + layer.activations) / bandwidth > layer.operations / rate
    )
    fused = "operations" if work.operations / rate >= ends / bandwidth else "memory"
    layered = "memory" if 2e3 * by_memory > floor.layer_by_layer else "operations"
    return (
        StageLimit("network, fused", milliseconds, work.operations, ends, floor.fused, fused),
        StageLimit("network, layer by layer", milliseconds, work.operations, between, floor.layer_by_layer, layered),
    )


def measure_roofline(load: LoadOptions, photos: list[Photo], runs: int) -> RooflineReport:
    """Raises OptionError for a device other than OpenVINO on the processor and for an INT8 file alone, ModelError for a
    graph that can't be counted, MissingExtraError without onnx.
    """
    where, path = describe_machine(), find_model_file(load.model)
    if read_manifest(path).precision != "f32":
        raise OptionError(f"{path}: operations are counted in the f32 graph. Name that, with --precision.")
    found = []
    with load.load() as segmenter:
        info, manifest, subject = segmenter.info, segmenter.manifest, Subject(segmenter)
        if info.backend != "openvino":
            raise OptionError(f"the peaks are those of OpenVINO, and the model ran on {info.backend}.")
        peaks = measure_peaks(info.threads)
        head = report_head(SCHEMA, where, path, manifest, {info.backend: info.version})
        for photo in photos:
            figures, mask = measure_photo(subject, photo, Effort(runs), {})
            medians = {stage: spread.p50 for stage, spread in figures.stages.items()}
            shapes = figures.windows
            windows = (sum(shape[0] for shape in shapes), *shapes[0][1:])
            work = count_work(path, windows, VALUE_BYTES[info.precision])
            limits = stage_limits(photo, mask, manifest, medians, peaks.bandwidth_alone)
            around = {limit.stage: limit for limit in limits}
            network = network_limits(work, info.precision, peaks, figures.network.p50)
            stages = [around["decode"], around["prepare"], *network, around["finish"], around["encode"]]
            found.append(PhotoLimits(photo.name, photo.source, len(figures.samples[NETWORK]), stages))
    head["machine"] |= describe_afterwards()
    return RooflineReport(**head, info=info, peaks=peaks, photos=found)


@app.command()
def roofline_command(  # noqa: PLR0913, PLR0917 - a command's options are its parameters
    size: Annotated[list[str] | None, typer.Option(metavar="WxH", help="Size to measure; repeat for more.")] = None,
    photo: PhotoFiles = None,
    model: ModelName = None,
    precision: PrecisionName = "auto",
    threads: ThreadCount = None,
    runs: Annotated[int, typer.Option(min=3, help="Timed calls on each photograph.")] = 20,
    json: JsonFile = None,
) -> None:
    """Measure what this processor can do at most, and how far from it each stage is."""
    photos = choose_photos(size, photo, None, ["565x584"])
    report = measure_roofline(LoadOptions(model, "cpu:openvino", precision, threads), photos, runs)
    typer.echo(report.table())
    report.write(json)


def main() -> None:
    """`python -m vesselrt.benchmarks.roofline`: errors become one line and exit code 1."""
    with as_command():
        app()


if __name__ == "__main__":
    main()
