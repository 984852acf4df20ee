"""What the server says of itself: health, models, versions."""

from functools import cache
from importlib.metadata import PackageNotFoundError, version
from platform import python_version
from typing import Literal

from pydantic import BaseModel

from vesselrt.runtime.output.classes import layers_of
from vesselrt.server.http import errors
from vesselrt.server.work.models import ServedModel, State, why_not
from vesselrt.server.work.service import Service

VERSION = version("vesselrt")


class Health(BaseModel):
    """The state of the server. What is not known yet is left out."""

    status: Literal["starting", "ready", "failed", "stopped"]
    live: bool
    ready: bool
    version: str
    """Of vesselrt."""
    model: str | None = None
    model_version: str | None = None
    device: str | None = None
    device_name: str | None = None
    precision: str | None = None
    backend: str | None = None
    error: errors.ErrorDetail | None = None
    """Present when not ready, as in every other error answer."""


class Live(BaseModel):
    """The process answers."""

    status: Literal["live"] = "live"


class ClassReport(BaseModel):
    """One of the classes that a model tells apart."""

    name: str
    colour: str
    threshold: float


class ModelReport(BaseModel):
    """One model. What is not known before it is loaded is left out."""

    name: str
    """What requests call it."""
    status: Literal["starting", "ready", "failed", "stopped"]
    default: bool
    """Whether it answers where a request names none."""
    model: str | None = None
    """What its manifest calls it."""
    version: str | None = None
    description: str | None = None
    licence: str | None = None
    threshold: float | None = None
    classes: list[ClassReport] | None = None
    """In the order of their numbers in masks, from 1. Left out where the model has one."""
    exclusive: bool | None = None
    """Whether a pixel belongs to one class at most."""
    device: str | None = None
    precision: str | None = None
    members: int | None = None
    """Maps whose mean is the probability, and which format=spread compares. Left out where there is one."""
    weights_sha256: str | None = None


class Models(BaseModel):
    """Every model that is served."""

    models: list[ModelReport]


class Version(BaseModel):
    """What answers."""

    vesselrt: str
    python: str
    libraries: dict[str, str]


def health_report(service: Service) -> Health:
    """Of the default model, and whether every model that is loaded at start is."""
    state = service.state
    ready = state is State.READY
    report = Health(status=state.value, live=state is not State.FAILED, ready=ready, version=VERSION)
    if not ready:
        report.error = errors.describe_error(why_not(state))[1]
    segmenter = service.default.segmenter
    if segmenter is not None:
        manifest, info = segmenter.manifest, segmenter.info
        report.model, report.model_version = manifest.name, manifest.version
        report.device, report.device_name = info.device, info.device_name
        report.precision, report.backend = info.precision, f"{info.backend} {info.version}"
    return report


def model_list(service: Service) -> Models:
    """In the order in which they were named."""
    return Models(models=[_model_report(model, model is service.default) for model in service.models.values()])


def _model_report(model: ServedModel, default: bool) -> ModelReport:
    report = ModelReport(name=model.name, status=model.state.value, default=default)
    segmenter = model.segmenter
    if segmenter is not None:
        manifest, info = segmenter.manifest, segmenter.info
        report.model, report.version, report.threshold = manifest.name, manifest.version, manifest.threshold
        report.description, report.licence = manifest.description, manifest.licence
        if len(manifest.classes) > 1:
            layers = layers_of(manifest.classes, manifest.threshold)
            report.classes = [ClassReport(name=c.name, colour=c.colour, threshold=c.threshold) for c in layers]
            report.exclusive = manifest.exclusive
        report.device, report.precision = info.device, info.precision
        report.members = info.members if info.members > 1 else None
        report.weights_sha256 = manifest.provenance.weights_sha256 or None
    return report


@cache
def version_report() -> Version:
    """Of the libraries that have a say in the result."""
    libraries = {}
    for name in ("numpy", "opencv-python-headless", "openvino", "onnxruntime", "onnxruntime-gpu", "fastapi", "uvicorn"):
        try:
            libraries[name] = version(name)
        except PackageNotFoundError:
            continue
    return Version(vesselrt=VERSION, python=python_version(), libraries=libraries)
