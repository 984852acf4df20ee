"""Matrix products whose values leave the range of FP16, written with smaller factors.

    a @ b  ─►  (a · 2⁻ⁱ @ b · 2⁻ʲ) · 2ⁱ⁺ʲ

Powers of two cost no digit. A convolution stays in FP32 there instead. Turing has no matrix product in FP32.
"""

import math
from collections.abc import Mapping

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, helper, numpy_helper

from vesselrt.export.fp16 import FP16_MAX, PRODUCTS


def scale_products(flat: ModelProto, large: Mapping[str, float]) -> ModelProto:
    """A copy of a flat f32 graph in which no matrix product reads or gives what FP16 can't hold.

    `large`: the values that are over half of its range, by name, and the magnitudes that they reach. Of an infinite one
    the product stays as it is, and so does a Gemm that scales what it adds.
    """
    copy = ModelProto()
    copy.CopyFrom(flat)
    graph = copy.graph
    nodes = []
    for node in graph.node:
        around = [large[name] for name in (*node.input, *node.output) if name in large]
        fixed = node.op_type == "Gemm" and any(a.name == "beta" and a.f != 1 for a in node.attribute)
        if node.op_type in PRODUCTS and around and all(map(math.isfinite, around)) and not fixed:
            nodes += _scaled(graph, node, large)
        else:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    return copy


def _scaled(graph: GraphProto, product: NodeProto, large: Mapping[str, float]) -> list[NodeProto]:
    result, added = product.output[0], product.input[2:] if product.op_type == "Gemm" else []
    factors = list(product.input[: len(product.input) - len(added)])
    powers = [_power(large.get(name, 0.0)) for name in factors]
    # What the result needs beyond that is shared: each factor keeps as many of its small values as it can.
    rest = max(0, _power(large.get(result, 0.0)) - sum(powers))
    powers = [power + rest // len(powers) + (place < rest % len(powers)) for place, power in enumerate(powers)]
    nodes = []
    for place, (name, power) in enumerate(zip(factors, powers, strict=True)):
        if power:
            factors[place] = smaller = f"{result} factor {place}"
            nodes.append(_times(graph, name, -power, smaller))
    del product.input[:]
    product.input.extend(factors)
    product.output[0] = f"{result} smaller"
    whole = f"{result} product" if added else result
    nodes += [product, _times(graph, product.output[0], sum(powers), whole)]
    return nodes + ([helper.make_node("Add", [whole, added[0]], [result], f"{result} sum")] if added else [])


def _power(largest: float) -> int:
    """How many times a magnitude is halved until FP16 holds it twice."""
    return max(0, math.ceil(math.log2(2 * largest / FP16_MAX))) if largest else 0


def _times(graph: GraphProto, source: str, power: int, target: str) -> NodeProto:
    graph.initializer.append(numpy_helper.from_array(np.array(2.0**power, np.float32), f"{target} scale"))
    return helper.make_node("Mul", [source, f"{target} scale"], [target], target)
