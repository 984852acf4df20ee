"""The columns beside vesselrt do the same work."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench_photos import BRIGHT, pixels

from vesselrt.benchmarks import bench, photos
from vesselrt.benchmarks.measure import (
    LoadOptions,
)
from vesselrt.benchmarks.photos import Photo
from vesselrt.runtime.errors import MissingExtraError, ModelError, VesselrtError
from vesselrt.runtime.manifest import METADATA_KEY, Clahe, Manifest, Preparation
from vesselrt.runtime.modelfile import find_model_file

ROOT = Path(__file__).resolve().parents[2]


def test_torch_is_not_imported_without_compare() -> None:
    code = "import vesselrt.benchmarks.bench, sys; print({'torch', 'monai', 'onnx'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_compare_without_its_packages_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "vesselrt.benchmarks.compare", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    plan = bench.BenchPlan(LoadOptions(None, "auto", "auto", None), [], 3, 0, compare=True)
    with pytest.raises(MissingExtraError, match=r"^vesselrt bench --compare needs .* pip install 'vesselrt\[bench\]'$"):
        bench.run_bench(plan)


def write_model(path: Path, manifest: Manifest, *, last: str = "Sigmoid", slope: float = 9.0) -> Path:
    """A model file of four nodes: sigmoid(slope × (value − 127.5) / 255), so vessel is what is brighter than 127."""
    onnx = pytest.importorskip("onnx")
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
    report = bench.run_bench(bench.BenchPlan(load, [noise], 3, 0, compare=True))
    (found,) = report.photos
    assert set(found.peers) == {"pytorch+monai", "onnxruntime+monai"}
    for peer in found.peers.values():
        assert peer.pixels_differ == 0  # native resolution: not a pixel may differ
        assert peer.ratio > 0
        assert 0 < peer.end_to_end.p50 <= peer.end_to_end.p95 <= peer.end_to_end.p99
    assert {"torch", "monai", "onnx", "onnxruntime", "pillow"} <= set(report.versions)
    assert "pytorch+monai" in report.table()
    assert compare.torch.get_num_threads() == 1


def test_peers_scale_by_the_factor_that_vesselrt_found(compare: Any, tmp_path: Path) -> None:
    scaled = BRIGHT.model_copy(update={"preparation": Preparation(channels="green", field_of_view=64)})
    peers = compare.Peers(write_model(tmp_path / "scaled.onnx", scaled), scaled, 1)
    image, _ = photos.synthetic(240, 200)
    columns = peers.columns(photos.encode_jpeg(image))
    assert [column.factor for column in columns.values()] == [pytest.approx(64 / 192, rel=0.03)] * 2
    for column in columns.values():
        mask = pixels(column(photos.encode_jpeg(image)))
        assert mask.shape == (200, 240)
        assert set(np.unique(mask)) <= {0, 255}


def test_twin_of_the_built_in_model_gives_its_probabilities(compare: Any) -> None:
    import onnxruntime

    pixels = np.random.default_rng(1).integers(0, 256, (2, 1, 48, 80), dtype=np.uint8)
    (expected,) = onnxruntime.InferenceSession(find_model_file(None)).run(None, {"image": pixels})
    with compare.torch.inference_mode():
        obtained = compare.Twin(find_model_file(None))(compare.torch.from_numpy(pixels)).numpy()
    assert expected.std() > 0.001
    assert np.abs(expected - obtained).max() <= compare.TOLERANCE


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
    equalised = BRIGHT.model_copy(update={"preparation": Preparation(clahe=Clahe(clip_limit=2, grid=8))})
    with pytest.raises(ModelError, match="asks for CLAHE"):
        compare.Peers(tmp_path / "hard.onnx", equalised, 1)


def test_stage_benches_run() -> None:
    pytest.importorskip("pytest_benchmark", reason="the stage benches need the extra bench")
    command = [sys.executable, "-m", "pytest", "benchmarks", "--benchmark-disable", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "10 passed" in done.stdout
