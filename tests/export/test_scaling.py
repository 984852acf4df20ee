"""Matrix products that leave the range of FP16 compute in FP16 all the same: their factors are divided first."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from engines import needs_tensorrt
from graphs import PIXELS, between, node, run, saved, types
from onnx import NodeProto

from vesselrt.export.fp16 import flatten
from vesselrt.export.precision import convert_model
from vesselrt.export.scaling import scale_products

BACK = np.full((1, 1, 1, 1), 1e-7, np.float32)
"""Brings products of pixels back to where a sigmoid is not flat."""
PRODUCTS: list[tuple[NodeProto, dict[str, Any]]] = [
    (node("MatMul", ["first", "first"], ["large"], "product"), {}),
    (node("Einsum", ["first", "first"], ["large"], "product", equation="nchw,ncwd->nchd"), {}),
]
TILE = {"size": 16, "multiple": 4, "margin": 0, "fixed": True}


def around(product: NodeProto) -> list[NodeProto]:
    return [product, node("Conv", ["large", "back"], ["last"], "back")]


@pytest.mark.parametrize(("product", "constants"), PRODUCTS, ids=[p.op_type for p, _ in PRODUCTS])
def test_a_product_that_overflows_is_fp16(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, product: NodeProto, constants: dict[str, Any]
) -> None:
    source = saved(between(around(product), back=BACK, **constants), tmp_path / "f32.onnx", tile=TILE)
    written = convert_model(source, tmp_path / "fp16.onnx", "fp16", [])
    assert written.provenance.float_operations == ("back",)
    assert "Factors are scaled where products are too large: product." in caplog.text
    assert types(onnx.load(tmp_path / "fp16.onnx"))["product"] == "fp16"
    exact = run(onnx.load(source), PIXELS)
    assert exact.max() > 0.1
    assert run(onnx.load(tmp_path / "fp16.onnx"), PIXELS) == pytest.approx(exact, rel=2e-3)


def test_powers_of_two_cost_no_digit() -> None:
    flat = flatten(between(around(PRODUCTS[0][0]), back=np.ones((1, 1, 1, 1), np.float32)))
    scaled = scale_products(flat, {"large": 16 * 510.0**2, "first": 70000.0})
    assert np.array_equal(run(scaled, PIXELS), run(flat, PIXELS))
    (product,) = (n for n in scaled.graph.node if n.op_type == "MatMul")
    assert product.input[0] != product.input[1]


def test_what_is_added_to_a_product_is_not_scaled() -> None:
    flatly = [
        node("Reshape", ["first", "flat"], ["rows"]),
        node("Gemm", ["rows", "weights", "bias"], ["sums"], "product", transB=1),
        node("Reshape", ["sums", "square"], ["last"]),
    ]
    weights = np.random.default_rng(0).integers(0, 9, (16, 16)).astype(np.float32)
    constants = {"weights": weights, "bias": np.arange(16, dtype=np.float32)}
    model = between(flatly, flat=np.array([16, 16]), square=np.array([1, 1, 16, 16]), **constants)
    scaled = scale_products(flatten(model), {"sums": 1e6})
    assert np.array_equal(run(scaled, PIXELS), run(model, PIXELS))
    (product,) = (n for n in scaled.graph.node if n.op_type == "Gemm")
    assert len(product.input) == 2


@pytest.mark.parametrize("largest", [float("inf"), float("nan")])
def test_what_is_infinite_stays_as_it_is(largest: float) -> None:
    flat = flatten(between(around(PRODUCTS[0][0]), back=BACK))
    assert scale_products(flat, {"large": largest}) == flat


@needs_tensorrt
def test_turing_takes_a_product_that_overflows(tmp_path: Path) -> None:
    """It has no matrix product in FP32."""
    from vesselrt.export.engine import build

    source = saved(between(around(PRODUCTS[0][0]), back=BACK), tmp_path / "f32.onnx", tile=TILE)
    assert build(source, ["sm75"]).manifest.provenance.float_operations == ("back",)
