"""What the server and its models are, as Triton's HTTP extensions describe it."""

from typing import Any, Literal

from pydantic import BaseModel

from vesselrt.runtime.segmenter import Segmenter
from vesselrt.server.http.reports import VERSION
from vesselrt.server.metrics import ServerMetrics
from vesselrt.server.work.models import ServedModel, State, why_not

INPUTS = [
    {"name": "image", "datatype": "UINT8", "shape": [-1, -1, 3]},
    {"name": "file", "datatype": "BYTES", "shape": [1]},
]
OUTPUTS: list[dict[str, Any]] = [
    {"name": "probability", "datatype": "UINT8", "shape": [-1, -1]},
    {"name": "mask", "datatype": "BOOL", "shape": [-1, -1]},
]
_SPREAD: dict[str, Any] = {"name": "spread", "datatype": "UINT8", "shape": [-1, -1]}
_TYPES = {"UINT8": "TYPE_UINT8", "BYTES": "TYPE_STRING", "BOOL": "TYPE_BOOL"}


class Server(BaseModel):
    """What answers."""

    name: str = "vesselrt"
    version: str = VERSION
    extensions: list[str] = ["binary_tensor_data", "model_configuration", "model_repository", "statistics"]


class ModelFacts(BaseModel):
    """A model and its tensors."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[dict[str, Any]] = INPUTS
    outputs: list[dict[str, Any]]


class ModelConfig(BaseModel):
    """The parts of Triton's ModelConfig that say something here."""

    name: str
    platform: str
    backend: str = "vesselrt"
    max_batch_size: int = 0
    """0: a request holds one photograph; the server itself batches their tiles."""
    input: list[dict[str, Any]]
    output: list[dict[str, Any]]
    default_model_filename: str = ""
    parameters: dict[str, dict[str, str]] | None = None
    """`classes`: the names of those that the model tells apart. Left out where it has one."""


class Duration(BaseModel):
    """Of something that was done often."""

    count: int
    ns: int


class InferenceStatistics(BaseModel):
    """Since the server started."""

    success: Duration
    fail: Duration
    queue: Duration
    compute_input: Duration
    compute_infer: Duration
    compute_output: Duration
    cache_hit: Duration
    cache_miss: Duration


class ModelStatistics(BaseModel):
    """Of one model; times of photographs that could not be segmented are not counted."""

    name: str
    version: str
    last_inference: int
    """ms, Unix time."""
    inference_count: int
    """Photographs."""
    execution_count: int
    """Of those, how many were not answered from a kept map."""
    inference_stats: InferenceStatistics
    batch_stats: list[dict[str, Any]] = []


class Statistics(BaseModel):
    """Of one model, or all."""

    model_stats: list[ModelStatistics]


class IndexEntry(BaseModel):
    """A model of the repository."""

    name: str
    version: str
    state: Literal["READY", "UNAVAILABLE"]
    reason: str


class Flag(BaseModel):
    """Yes; a no is an error answer."""

    live: bool | None = None
    ready: bool | None = None
    name: str | None = None


def platform_of(segmenter: Segmenter) -> str:
    """What runs the network."""
    return f"vesselrt_{segmenter.info.backend}"


def outputs_of(segmenter: Segmenter) -> list[dict[str, Any]]:
    """The tensors that a model gives: one map, or one of each class; of several members their spread too."""
    outputs = OUTPUTS if segmenter.info.members == 1 else [*OUTPUTS, _SPREAD]
    several = len(segmenter.manifest.classes) > 1
    return [{**output, "shape": [-1, *output["shape"]]} for output in outputs] if several else outputs


def model_config(model: ServedModel, segmenter: Segmenter) -> ModelConfig:
    """The tensors as Triton's configuration writes them."""

    def tensors(facts: list[dict[str, Any]], **more: Any) -> list[dict[str, Any]]:
        return [
            {"name": fact["name"], "data_type": _TYPES[fact["datatype"]], "dims": fact["shape"], **more}
            for fact in facts
        ]

    # One of the two inputs is sent.
    inputs, outputs = tensors(INPUTS, optional=True), tensors(outputs_of(segmenter))
    names = segmenter.manifest.class_names
    parameters = {"classes": {"string_value": ",".join(names)}} if len(names) > 1 else None
    return ModelConfig(
        name=model.name, platform=platform_of(segmenter), input=inputs, output=outputs, parameters=parameters
    )


def repository_index(models: list[ServedModel], only_ready: bool) -> list[IndexEntry]:
    """Every model that is served."""
    entries = []
    for model in models:
        segmenter, ready = model.segmenter, model.state is State.READY
        if ready or not only_ready:
            version = segmenter.manifest.version if segmenter else ""
            reason = "" if ready else str(why_not(model.state))
            state: Literal["READY", "UNAVAILABLE"] = "READY" if ready else "UNAVAILABLE"
            entries.append(IndexEntry(name=model.name, version=version, state=state, reason=reason))
    return entries


def model_statistics(model: ServedModel, segmenter: Segmenter, metrics: ServerMetrics) -> ModelStatistics:
    """What /metrics says, in Triton's words. Of all workers together."""

    def stages(*names: str) -> Duration:
        count, seconds = 0, 0.0
        for name in names:
            count = max(count, int(metrics.value("vesselrt_stage_seconds_count", model=model.name, stage=name)))
            seconds += metrics.value("vesselrt_stage_seconds_sum", model=model.name, stage=name)
        return Duration(count=count, ns=round(seconds * 1e9))

    everything = stages("wait", "cache", "decode", "prepare", "infer", "finish", "encode")
    failed = int(metrics.value("vesselrt_failed_total", model=model.name))
    infer = stages("infer")
    return ModelStatistics(
        name=model.name,
        version=segmenter.manifest.version,
        last_inference=round(metrics.value("vesselrt_last_photograph_seconds", model=model.name) * 1e3),
        inference_count=everything.count,
        execution_count=infer.count,
        inference_stats=InferenceStatistics(
            success=everything,
            fail=Duration(count=failed, ns=0),
            queue=stages("wait"),
            compute_input=stages("decode", "prepare"),
            compute_infer=infer,
            compute_output=stages("finish", "encode"),
            cache_hit=stages("cache"),
            cache_miss=Duration(count=infer.count, ns=0),
        ),
    )
