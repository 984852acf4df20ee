"""The columns beside vesselrt do the same work."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench_photos import BRIGHT, pixels

from vesselrt.benchmarks import photos
from vesselrt.benchmarks.bench_report import Effort
from vesselrt.benchmarks.bench_run import BenchPlan, run_bench
from vesselrt.benchmarks.bench_table import table_from_report
from vesselrt.benchmarks.measure import LoadOptions
from vesselrt.benchmarks.photos import Photo
from vesselrt.runtime.backends import Info
from vesselrt.runtime.errors import MissingExtraError, ModelError, VesselrtError
from vesselrt.runtime.manifest import METADATA_KEY, Clahe, ClassFacts, Manifest, Preparation
from vesselrt.runtime.modelfile import find_model_file, list_models
from vesselrt.runtime.output.classes import ClassLayers, layers_of

ROOT = Path(__file__).resolve().parents[2]
ON_ONE_THREAD = Info("openvino", "0", "cpu", "processor", "f32", 1)


def test_torch_is_not_imported_without_compare() -> None:
    code = "import vesselrt.benchmarks.bench, sys; print({'torch', 'monai', 'onnx'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_compare_without_its_packages_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "vesselrt.benchmarks.compare", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    plan = BenchPlan(LoadOptions(None, "auto", "auto", None), [], Effort(3), 0, compare=True)
    with pytest.raises(MissingExtraError, match=r"^vesselrt bench --compare needs .* pip install 'vesselrt\[bench\]'$"):
        run_bench(plan)


def write_model(path: Path, manifest: Manifest, *, last: str = "Sigmoid", slope: float = 9.0) -> Path:
    """A model file of four nodes: sigmoid(slope × (value − 127.5) / 255), so vessel is what is brighter than 127."""
    onnx = pytest.importorskip("onnx", reason="needs the package onnx")
    helper, array = onnx.helper, onnx.numpy_helper.from_array
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Sub", ["float", "half"], ["centred"]),
        helper.make_node("Conv", ["centred", "weight"], ["logit"], kernel_shape=[1, 1]),
        helper.make_node(last, ["logit"], ["probability"]),
    ]
    constants = [
        array(np.float32(127.5), "half"),
        array(np.full((1, 1, 1, 1), slope / 255, np.float32), "weight"),
    ]
    shape = ["n", 1, "h", "w"]
    graph = helper.make_graph(
        nodes,
        "bright",
        [helper.make_tensor_value_info("image", onnx.TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info("probability", onnx.TensorProto.FLOAT, shape)],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    helper.set_model_props(model, {METADATA_KEY: manifest.to_json()})
    onnx.save(model, path)
    return path


def test_all_columns_do_the_same_work(compare: Any, noise: Photo, tmp_path: Path) -> None:
    path = write_model(tmp_path / "bright.onnx", BRIGHT)
    load = LoadOptions(str(path), "auto", "f32", 1)
    report = run_bench(BenchPlan(load, [noise], Effort(3), 0, compare=True))
    (found,) = report.photos
    assert {name: peer.precision for name, peer in found.peers.items()} == {
        "pytorch+monai": "f32",
        "onnxruntime+monai": "f32",
        "openvino+monai": "f32",
    }
    for peer in found.peers.values():
        assert peer.pixels_differ == 0  # native resolution: not a pixel may differ
        assert peer.ratio > 0
        assert len(peer.samples) == 3
        assert 0 < peer.end_to_end.min <= peer.end_to_end.p50 <= peer.end_to_end.p95
    assert {"torch", "monai", "onnx", "onnxruntime", "pillow"} <= set(report.versions)
    assert "pytorch+monai" in table_from_report(report)
    assert report.left_out == {}
    assert found.judged is not None  # OpenVINO's wheel brings benchmark_app
    assert found.judged.runs == 3
    assert found.judged.ratio == pytest.approx(found.network.p50 / found.judged.p50)
    assert compare.torch.get_num_threads() == 1


def test_columns_in_another_precision_say_it_or_why_they_are_left_out(
    compare: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_model(tmp_path / "bright.onnx", BRIGHT)
    write_model(tmp_path / "bright.int8.onnx", BRIGHT.model_copy(update={"precision": "int8"}))
    peers = compare.Peers(path, BRIGHT, replace(ON_ONE_THREAD, precision="int8"))
    columns = peers.columns(photos.encode_jpeg(photos.synthetic(90, 70)[0]))
    assert {name: column.precision for name, column in columns.items()} == {
        "pytorch+monai": "f32",
        "onnxruntime+monai": "f32",
        "openvino+monai": "f32",
        "onnxruntime+monai int8": "int8",
        "openvino+monai int8": "int8",
    }
    assert peers.left_out.keys() == {"pytorch+monai int8"}
    assert "does not compute this graph in int8" in peers.left_out["pytorch+monai int8"]

    named = compare.Peers(tmp_path / "bright.int8.onnx", BRIGHT, replace(ON_ONE_THREAD, precision="int8"))
    assert [name for name in named.left_out if "int8" not in name] == [
        "pytorch+monai", "onnxruntime+monai", "openvino+monai",
    ]  # fmt: skip
    assert "Name the f32 model file" in named.left_out["openvino+monai"]

    monkeypatch.setattr(compare, "gains_by_bf16", lambda: True)
    half = compare.Peers(path, BRIGHT, replace(ON_ONE_THREAD, precision="bf16"))
    assert "bf16" in half.left_out["onnxruntime+monai bf16"]
    assert "pytorch+monai bf16" not in half.left_out
    monkeypatch.setattr(compare, "gains_by_bf16", lambda: False)
    slow = compare.Peers(path, BRIGHT, replace(ON_ONE_THREAD, precision="bf16"))
    assert slow.left_out["pytorch+monai bf16"] == "this processor takes longer in bf16."


def test_autocast_computes_in_bf16(compare: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "gains_by_bf16", lambda: True)
    path = write_model(tmp_path / "bright.onnx", BRIGHT)
    windows = compare.torch.arange(256.0).reshape(1, 1, 16, 16)
    with compare.torch.inference_mode():
        exact, rounded = (compare._load_pytorch(path, precision, 1)(windows) for precision in ("f32", "bf16"))
    assert rounded.dtype == compare.torch.float32
    assert 1e-4 < (exact - rounded).abs().max() < 0.02


def test_peers_scale_by_the_factor_that_vesselrt_found(compare: Any, tmp_path: Path) -> None:
    scaled = BRIGHT.model_copy(update={"preparation": Preparation(channels="green", field_of_view=64)})
    peers = compare.Peers(write_model(tmp_path / "scaled.onnx", scaled), scaled, ON_ONE_THREAD)
    image, _ = photos.synthetic(240, 200)
    columns = peers.columns(photos.encode_jpeg(image))
    assert [column.factor for column in columns.values()] == [pytest.approx(64 / 192, rel=0.03)] * 3
    for column in columns.values():
        mask = pixels(column(photos.encode_jpeg(image)))
        assert mask.shape == (200, 240)
        assert set(np.unique(mask)) <= {0, 255}


@pytest.mark.parametrize("model", list_models())
def test_twin_of_a_built_in_model_gives_its_probabilities(compare: Any, model: str) -> None:
    import onnxruntime

    pixels = np.random.default_rng(1).integers(0, 256, (2, 1, 48, 80), dtype=np.uint8)
    (expected,) = onnxruntime.InferenceSession(find_model_file(model)).run(None, {"image": pixels})
    with compare.torch.inference_mode():
        obtained = compare.Twin(find_model_file(model))(compare.torch.from_numpy(pixels)).numpy()
    assert expected.std() > 0.001
    assert np.abs(expected - obtained).max() <= compare.TOLERANCE


def write_doubling(path: Path) -> Path:
    """A graph that doubles an image of 8 × 8 by copies of its pixels, told the size and not the factor."""
    onnx = pytest.importorskip("onnx", reason="needs the package onnx")
    helper, float32 = onnx.helper, onnx.TensorProto.FLOAT
    copies = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    graph = helper.make_graph(
        [helper.make_node("Resize", ["image", "", "", "sizes"], ["doubled"], **copies)],
        "doubling",
        [helper.make_tensor_value_info("image", float32, [1, 1, 8, 8])],
        [helper.make_tensor_value_info("doubled", float32, [1, 1, 16, 16])],
        [onnx.numpy_helper.from_array(np.array([1, 1, 16, 16]), "sizes")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


def test_networks_that_differ_are_not_timed(compare: Any, tmp_path: Path) -> None:
    one, other = (compare.Twin(write_model(tmp_path / f"{s}.onnx", BRIGHT, slope=s)) for s in (9.0, 9.1))
    with pytest.raises(VesselrtError, match=r"differ by 0\.0\d+ in probability .* \(tolerance 0\.0001\)"):
        compare._check_agreement(one, other, BRIGHT)


def test_graphs_that_the_columns_can_not_run_are_named(compare: Any, tmp_path: Path) -> None:
    from vesselrt.benchmarks import twin

    with pytest.raises(ModelError, match="PyTorch's columns do not know the operations HardSigmoid"):
        compare.Twin(write_model(tmp_path / "hard.onnx", BRIGHT, last="HardSigmoid"))
    with pytest.raises(ModelError, match="do not know this form of DepthToSpace"):  # ONNX's default order, DCR
        twin._check_form("DepthToSpace", {"blocksize": 2}, tmp_path / "blocks.onnx")
    with pytest.raises(ModelError, match="do not know this form of Resize"):  # ONNX's default coordinates, half_pixel
        twin._check_form("Resize", {"mode": b"nearest", "nearest_mode": b"floor"}, tmp_path / "halves.onnx")
    with pytest.raises(ModelError, match="do not know this form of Resize"):
        compare.Twin(write_doubling(tmp_path / "sizes.onnx"))
    equalised = BRIGHT.model_copy(update={"preparation": Preparation(clahe=Clahe(clip_limit=2, grid=8))})
    with pytest.raises(ModelError, match="asks for CLAHE"):
        compare.Peers(tmp_path / "hard.onnx", equalised, ON_ONE_THREAD)


def run_stage_benches(folder: Path, *options: str) -> str:
    """`pytest benchmarks` with few rounds: the smoke run of CI. Its figures go into the folder."""
    quick = ["--benchmark-min-rounds=1", "--benchmark-max-time=0.02", "--benchmark-calibration-precision=1"]
    storage = f"--benchmark-storage={folder.as_uri()}"
    command = [sys.executable, "-m", "pytest", "benchmarks", "-q", "-p", "no:cacheprovider", *quick, storage, *options]
    # Told that it is one of several workers, pytest-benchmark would measure nothing.
    alone = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(command, cwd=ROOT, env=alone, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_stage_benches_run_and_are_compared(tmp_path: Path) -> None:
    pytest.importorskip("pytest_benchmark", reason="the stage benches need the extra bench")
    assert "10 passed" in run_stage_benches(tmp_path, "--benchmark-save=before")
    again = run_stage_benches(tmp_path, "-k", "tiling", "--benchmark-compare=0001")
    assert "test_tiling (0001_before)" in again


def test_the_mask_of_several_classes_is_the_librarys() -> None:
    """One rule: the most probable of the classes that reach their threshold, of equals the first."""
    torch = pytest.importorskip("torch", reason="needs the extra train")
    from vesselrt.benchmarks.compare import _mask_from_maps

    every = layers_of((ClassFacts(name="artery", threshold=0.8), ClassFacts(name="vein", threshold=0.2)), 0.5)
    levels = np.random.default_rng(0).integers(0, 256, (2, 30, 40), np.uint8)
    found = _mask_from_maps(torch.from_numpy(levels).float() / 255, [layer.threshold for layer in every])
    assert np.array_equal(found.numpy(), ClassLayers(levels, every, every, exclusive=True).labels)
    single = _mask_from_maps(torch.tensor([[[0.1, 0.5]]]), [0.5])
    assert single.tolist() == [[0, 255]]
