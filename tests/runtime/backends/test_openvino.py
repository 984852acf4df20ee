"""OpenVINO compiles a model once, for windows of every shape, and what it compiled is found again."""

import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import openvino
import pytest
from onnx import TensorProto, helper

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.backends import Backend
from vesselrt.runtime.backends import openvino as backend_module
from vesselrt.runtime.backends.onnxruntime import OnnxRuntimeBackend
from vesselrt.runtime.backends.openvino import OpenVinoBackend
from vesselrt.runtime.engines.cache import EngineCache
from vesselrt.runtime.errors import ModelError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("VESSELRT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def shuffling(tmp_path: Path) -> Path:
    """A network that ends as `fundus` does: convolution of stride 2, pixel shuffle, shift, sigmoid."""
    weight = np.random.default_rng(0).normal(size=(4, 1, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["image"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["real", "most"], ["share"]),
        helper.make_node("Conv", ["share", "weight"], ["quarter"], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("DepthToSpace", ["quarter"], ["logits"], blocksize=2, mode="CRD"),
        helper.make_node("Add", ["logits", "shift"], ["shifted"]),
        helper.make_node("Sigmoid", ["shifted"], ["probability"]),
    ]
    axes: list[str | int] = ["n", 1, "h", "w"]
    graph = helper.make_graph(
        nodes,
        "shuffling",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, axes)],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, axes)],
        [
            onnx.numpy_helper.from_array(weight, "weight"),
            *(
                helper.make_tensor(name, TensorProto.FLOAT, [], [value])
                for name, value in (("most", 255), ("shift", 1))
            ),
        ],
    )
    path = tmp_path / "shuffling.onnx"
    onnx.save(helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)]), path)
    return path


def answer(backend: Backend, *shape: int) -> Image:
    (found,) = backend.infer([np.random.default_rng(shape).integers(0, 256, shape, np.uint8)])
    return found


def test_windows_of_every_shape_are_computed_by_one_compiled_model(
    shuffling: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend, other = OpenVinoBackend(shuffling, "f32", 1), OnnxRuntimeBackend(shuffling, "f32", 1)
    monkeypatch.setattr(backend_module, "_CORE", None)  # nothing is compiled from here on
    for shape in ((1, 1, 32, 48), (1, 1, 96, 16), (3, 1, 32, 48), (1, 1, 160, 160), (2, 1, 2, 2)):
        found = answer(backend, *shape)
        assert found.shape == shape
        assert len(np.unique(found)) > 1
        assert np.abs(found.astype(int) - answer(other, *shape)).max() <= 1  # a rounding at .5


def test_the_second_start_takes_what_the_first_one_compiled(
    shuffling: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = answer(OpenVinoBackend(shuffling, "f32", 1), 1, 1, 64, 32)
    (kept,) = folder.glob("*.openvino")
    monkeypatch.setattr(openvino.Core, "compile_model", lambda *_: pytest.fail("compiled again"))
    backend = OpenVinoBackend(shuffling, "f32", 2)
    assert backend.info.threads == 2
    np.testing.assert_array_equal(answer(backend, 1, 1, 64, 32), first)
    assert list(folder.glob("*.openvino")) == [kept]


def test_of_a_file_that_is_opened_once_nothing_is_kept(shuffling: Path, folder: Path) -> None:
    expected = answer(OpenVinoBackend(shuffling, "f32", 1, once=True), 1, 1, 64, 32)
    assert not folder.exists()
    np.testing.assert_array_equal(answer(OpenVinoBackend(shuffling, "f32", 1), 1, 1, 64, 32), expected)


@pytest.mark.parametrize("place", [0, 40, -1, None], ids=["its hash", "its head", "its end", "cut"])
def test_what_was_damaged_in_the_cache_is_compiled_again(place: int | None, shuffling: Path, folder: Path) -> None:
    first = answer(OpenVinoBackend(shuffling, "f32", 1), 1, 1, 64, 32)
    (kept,) = folder.glob("*.openvino")
    whole = kept.read_bytes()
    damaged = bytearray(whole)
    if place is None:
        del damaged[len(damaged) // 2 :]
    else:
        damaged[place] ^= 1
    kept.write_bytes(damaged)
    np.testing.assert_array_equal(answer(OpenVinoBackend(shuffling, "f32", 1), 1, 1, 64, 32), first)
    assert EngineCache().read_compiled(kept.stem) is not None


def test_what_openvino_does_not_take_from_the_cache_is_compiled_again(shuffling: Path, folder: Path) -> None:
    first = answer(OpenVinoBackend(shuffling, "f32", 1), 1, 1, 64, 32)
    (kept,) = folder.glob("*.openvino")
    EngineCache().keep_compiled(kept.stem, b"of another release")
    np.testing.assert_array_equal(answer(OpenVinoBackend(shuffling, "f32", 1), 1, 1, 64, 32), first)
    assert EngineCache().read_compiled(kept.stem) != b"of another release"


def test_another_model_or_precision_is_another_entry(shuffling: Path, folder: Path) -> None:
    OpenVinoBackend(shuffling, "f32", 1)
    OpenVinoBackend(shuffling, "int8", 1)
    model = onnx.load(shuffling)
    model.doc_string = "another"
    onnx.save(model, shuffling)
    OpenVinoBackend(shuffling, "f32", 1)
    assert len(list(folder.glob("*.openvino"))) == 3


def test_without_a_cache_a_model_runs_and_nothing_is_said(
    shuffling: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder.write_text("a file, where no folder can be made")
    with caplog.at_level(logging.INFO):
        assert answer(OpenVinoBackend(shuffling, "f32", 1), 1, 1, 16, 16).any()
    assert caplog.messages == []


def test_a_graph_that_openvino_or_onnxruntime_can_not_use_is_a_model_error(shuffling: Path, folder: Path) -> None:
    content = shuffling.read_bytes()
    for damaged in (content.replace(b"Sigmoid", b"Sigmund"), content.replace(b"quarter", b"quorter", 1), content[:150]):
        shuffling.write_bytes(damaged)
        for make in (OpenVinoBackend, OnnxRuntimeBackend):
            with pytest.raises(ModelError) as caught:
                make(shuffling, "f32", 1)
            message = str(caught.value)
            assert message.startswith(f"{shuffling}: not a usable ONNX model, or damaged (")
            assert message.endswith("). Export or copy it again.")
            assert "\n" not in message


def test_its_converter_is_imported_when_a_program_calls_it_and_not_before() -> None:
    code = (
        "import sys, vesselrt\n"
        "from vesselrt.runtime.modelfile import find_model_file\n"
        "with vesselrt.load(device='cpu:openvino'): pass\n"
        "assert 'openvino.tools.ovc' not in sys.modules\n"
        "from openvino import convert_model\n"
        "assert len(convert_model(find_model_file(None)).inputs) == 1\n"
        "import openvino.tools.ovc\n"
        "assert openvino.tools.ovc.__name__ == 'openvino.tools.ovc'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
