"""A Resize of constants is a constant."""

from typing import Any

import numpy as np
import onnx
import pytest
from graphs import PIXELS, between, node, run

from vesselrt.export.folding import fold_resized_constants


def graph(**how: Any) -> onnx.ModelProto:
    nodes = [
        node("Resize", ["place", "", "", "sizes"], ["placed"], mode="linear", **how),
        node("Mul", ["placed", "half"], ["scaled"]),
        node("Add", ["first", "scaled"], ["last"]),
    ]
    place = np.random.default_rng(0).normal(0, 0.1, (1, 1, 8, 8)).astype(np.float32)
    return between(nodes, place=place, sizes=np.array([1, 1, 16, 16]), half=np.float32(0.5))


def test_an_antialiased_resize_of_a_constant_is_computed_once() -> None:
    before = graph(antialias=1)
    after = fold_resized_constants(graph(antialias=1))
    assert "Resize" in {n.op_type for n in before.graph.node}
    assert "Resize" not in {n.op_type for n in after.graph.node}
    assert run(after, PIXELS) == pytest.approx(run(before, PIXELS), abs=1e-6)


def test_a_resize_of_the_image_stays() -> None:
    nodes = [node("Resize", ["first", "", "scales"], ["last"], mode="linear")]
    model = between(nodes, scales=np.array([1, 1, 2, 2], np.float32))
    assert fold_resized_constants(model).SerializeToString() == model.SerializeToString()
    assert "Resize" in {n.op_type for n in model.graph.node}
