"""What load takes, and that every backend gives the same."""

import os
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.backends import Backend
from vesselrt.runtime.backends.onnxruntime import OnnxRuntimeBackend
from vesselrt.runtime.backends.openvino import OpenVinoBackend
from vesselrt.runtime.devices import DEVICES, PRECISIONS
from vesselrt.runtime.errors import (
    DeviceError,
    ModelNotFoundError,
    OptionError,
)
from vesselrt.runtime.hardware import cpu_name, usable_cores
from vesselrt.runtime.manifest import Manifest, Precision, Tile
from vesselrt.runtime.modelfile import find_model_file, list_models
from vesselrt.runtime.segmenter import Segmenter, load

NAMED = ", ".join(DEVICES)


CORES = os.cpu_count() or 1


def test_auto_takes_what_it_reports() -> None:
    with load(threads=1) as segmenter:
        info = segmenter.info
        assert (info.backend, info.device, info.device_name, info.threads) == ("openvino", "cpu", cpu_name(), 1)
        assert info.precision in {"f32", "bf16", "int8"}
        known = list_models()["fundus"]  # of which an int8 file may have been taken
        assert (segmenter.manifest.name, segmenter.manifest.version) == (known.name, known.version)
        assert segmenter.manifest == known or info.precision == "int8"
    with load(device="cpu:onnxruntime", precision="f32") as segmenter:
        info = segmenter.info
        assert (info.backend, info.precision, info.threads) == ("onnxruntime", "f32", usable_cores())


def test_a_model_file_is_loaded_from_its_path(tmp_path: Path) -> None:
    path = tmp_path / "copy.onnx"
    shutil.copy(find_model_file(None), path)
    for model in (path, str(path)):
        with load(model, device="cpu:onnxruntime", threads=1) as segmenter:
            assert segmenter.manifest == list_models()["fundus"]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"device": "gpu"}, DeviceError, f"unknown device 'gpu'. Expected one of: {NAMED}."),
        ({"device": "openvino"}, DeviceError, f"unknown device 'openvino'. Expected one of: {NAMED}."),
        (
            {"precision": "int4"},
            DeviceError,
            f"unknown precision 'int4'. Expected one of: {', '.join(PRECISIONS)}.",
        ),
        *[
            (
                {"threads": threads},
                OptionError,
                f"threads is {threads!r}. Expected a whole number from 1 to {CORES}, the cores of this machine.",
            )
            for threads in (0, -1, 1.5, True, "2", CORES + 1)
        ],
        (
            {"device": "cpu:onnxruntime", "precision": "bf16"},
            DeviceError,
            "ONNX Runtime on the CPU computes in f32 or int8, not bf16. Use device cpu:openvino, or precision f32.",
        ),
    ],
)
def test_what_is_not_to_be_had_is_named(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        load(**options)
    assert str(caught.value) == message


def test_a_model_that_is_not_there_is_named() -> None:
    with pytest.raises(
        ModelNotFoundError, match=r"^no model slitlamp: neither a file nor a built-in model\. Built-in: "
    ):
        load("slitlamp")


def test_without_openvino_auto_takes_onnxruntime_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vesselrt.runtime.backends.openvino", None)
    with load(threads=1) as segmenter:
        assert segmenter.info.backend == "onnxruntime"
    with pytest.raises(DeviceError) as caught:
        load(device="cpu:openvino")
    assert str(caught.value) == "device cpu:openvino: OpenVINO is not installed. Run: pip install openvino"


@pytest.mark.parametrize("make", [OnnxRuntimeBackend, OpenVinoBackend])
def test_eight_threads_give_what_one_gives(
    make: Callable[[Path, Precision, int], Backend],
    manifest: Manifest,
    fundus_photo: Callable[[int, int, int], tuple[Image, NDArray[np.bool_]]],
) -> None:
    """Small and of one shape after preparation: it is the calls that matter here, not the pixels."""
    small = manifest.preparation.model_copy(update={"field_of_view": 128})
    photos = [fundus_photo(150 + 10 * i, 170, i)[0] for i in range(5)]
    with Segmenter(
        manifest.model_copy(update={"preparation": small}), make(find_model_file(None), "f32", 2)
    ) as segmenter:
        alone = [segmenter.segment(photo).probability.tobytes() for photo in photos]
        assert len(set(alone)) == len(alone)
        with ThreadPoolExecutor(8) as pool:
            together = pool.map(lambda photo: segmenter.segment(photo).probability.tobytes(), photos * 8)
            assert list(together) == alone * 8


def in_f32(image: Image, manifest: Manifest, backend: Backend, size: int, margin: int) -> NDArray[np.int64]:
    """The probability by windows of at least `size` pixels with this margin."""
    multiple = manifest.tile.multiple
    tile = Tile(size=-(-size // multiple) * multiple, multiple=multiple, margin=margin)
    segmenter = Segmenter(manifest.model_copy(update={"tile": tile}), backend)
    return segmenter.segment(image).probability.astype(np.int64)


def test_in_f32_tiled_equals_whole_image_and_one_backend_the_other(retina: Image, manifest: Manifest) -> None:
    """On a real photograph, with the manifest's own margin: it covers the receptive field. Without one, seams show."""
    margin = manifest.tile.margin
    largest = max(manifest.preparation.largest or 0, *retina.shape)
    onnxruntime = OnnxRuntimeBackend(find_model_file(None), "f32", 2)
    whole = in_f32(retina, manifest, onnxruntime, largest, 0)
    assert whole.max() > 128  # there is something to compare
    assert np.abs(in_f32(retina, manifest, onnxruntime, 2 * margin + 256, margin) - whole).max() <= 1
    assert np.abs(in_f32(retina, manifest, onnxruntime, 2 * margin + 256, 0) - whole).max() > 10
    assert (
        np.abs(in_f32(retina, manifest, OpenVinoBackend(find_model_file(None), "f32", 2), largest, 0) - whole).max()
        <= 1
    )
