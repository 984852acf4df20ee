"""A file of torch.export is read as data: what would run does not."""

import json
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from sources import FIELDS, Trap, noise, normalised, probability
from torch import Tensor, nn
from torch.export import Dim

from vesselrt.export.graph import export_model
from vesselrt.export.head import Head
from vesselrt.export.sources import pt2
from vesselrt.export.sources.finding import find_source
from vesselrt.export.weights import hash_weights
from vesselrt.runtime.errors import DataError

# torch.export


class Small(nn.Module):
    """Skips, scaling to a size that is computed, padding, a list and a text as arguments."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.first, self.norm = nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.last, self.drop = nn.Conv2d(8, 1, 1), nn.Dropout(0.5)
        self.scale = nn.Buffer(torch.tensor([0.5]), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu_(self.norm(self.first(x)))
        deep = nn.functional.gelu(nn.functional.max_pool2d(x, 2), approximate="tanh") * self.scale
        wide = nn.functional.interpolate(deep, size=x.shape[2:], mode="bilinear")
        left, right = torch.cat([x, wide], 1).chunk(2, 1)
        wide = nn.functional.pad(right, [0, 1, 0, 1])[..., : x.shape[2], : x.shape[3]]
        answer: Tensor = self.last(self.drop(torch.cat([left, wide], 1)))
        return answer


VARYING = {0: Dim("batch"), 2: 4 * Dim("rows"), 3: 4 * Dim("columns")}


def saved(path: Path, network: nn.Module, sizes: Any, shape: tuple[int, ...] = (2, 3, 32, 48)) -> Path:
    torch.export.save(torch.export.export(network, (torch.zeros(shape),), dynamic_shapes=(sizes,)), path)
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("small") / "net.pt2", Small().eval(), VARYING)


def rewritten(path: Path, to: Path, change: Callable[[str, bytes], bytes]) -> Path:
    """A copy of an archive, each of its files changed."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(to, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return to


def test_a_program_computes_what_its_network_does(small: Path) -> None:
    found, network = pt2.read_pt2(small), Small().eval()
    assert (found.channels, found.output, found.facts["tile"]) == (3, "logits", {})
    assert found.weights_sha256 == hash_weights(network.state_dict())
    for shape in ((1, 3, 8, 12), (3, 3, 64, 20)):
        pixels = normalised(noise(*shape))
        with torch.inference_mode():
            assert torch.equal(found.network(pixels), network(pixels))


def test_a_program_becomes_a_model_file(small: Path, tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(yaml.safe_dump({**FIELDS, "tile": {"size": 64, "multiple": 4, "margin": 8}}))
    source = find_source(str(small), manifest=tmp_path / "m.yaml")
    export_model(source.network, source.manifest, tmp_path / "m.onnx", [], Head(source.output))
    for shape in ((1, 3, 4, 20), (3, 3, 32, 8)):
        with torch.inference_mode():
            expected = torch.sigmoid(Small().eval()(normalised(noise(*shape)))).numpy()
        assert probability(tmp_path / "m.onnx", noise(*shape)) == pytest.approx(expected, abs=1e-5)


def test_a_square_is_a_fixed_tile(tmp_path: Path) -> None:
    found = pt2.read_pt2(saved(tmp_path / "n.pt2", Small().eval(), {0: Dim("batch")}, (2, 3, 64, 64)))
    assert found.facts["tile"] == {"size": 64, "fixed": True}


@pytest.mark.parametrize(
    ("network", "sizes", "shape", "message"),
    [
        (Small().eval(), None, (1, 3, 32, 32), r"its batch is fixed at 1, .* Export it anew: torch.export.export\("),
        (Small().eval(), {0: Dim("b")}, (2, 3, 32, 64), "it takes 32×64 pixels. Expected both to vary, or a square"),
        (Small().train(), VARYING, (2, 3, 32, 48), "trains|was exported for training"),
        (nn.Linear(3, 1), {0: Dim("b")}, (2, 3), r"its input has 2 dimensions. Expected \(N, C, H, W\)"),
    ],
)
def test_a_program_that_does_not_fit(
    tmp_path: Path, network: nn.Module, sizes: Any, shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        pt2.read_pt2(saved(tmp_path / "net.pt2", network, sizes, shape))


@pytest.mark.parametrize(
    "target",
    [
        "torch.os.system",
        "torch.hub.load",
        "torch.ops.aten.save.default",
        "torch.ops.aten.from_file.default",
        "torch.ops.aten.from_file.out",
        "torch.ops.aten._print.default",
        "torch.ops.aten.relu.__class__",
        "torch.ops.higher_order.cond",
        "torch.ops.own.op.default",
        "_operator.methodcaller",
        "builtins.eval",
        "#own:op",
    ],
)
def test_a_program_that_calls_anything_else_is_refused(small: Path, tmp_path: Path, target: str) -> None:
    def change(name: str, content: bytes) -> bytes:
        return content.replace(b"torch.ops.aten.relu_.default", target.encode()) if "models/" in name else content

    with pytest.raises(DataError, match=rf"calls {re.escape(target)}. Expected operations of ATen"):
        pt2.read_pt2(rewritten(small, tmp_path / "bad.pt2", change))


def test_no_operation_that_is_run_takes_a_file() -> None:
    for full in torch._C._dispatch_get_all_op_names():
        space, _, name = full.partition("::")
        base, _, overload = name.partition(".")
        if space == "aten" and not base.startswith("_"):
            operation = getattr(getattr(torch.ops.aten, base), overload or "default")
            if pt2._computes(operation):
                names = {a.name for a in operation._schema.arguments if "str" in str(a.type)}
                assert not {n for n in names if re.search("file|path|url|name|code|lib", n)}, full


@pytest.mark.parametrize("part", ["weight_0", "sample_inputs/model.pt", "guards", "shapes"])
def test_what_torch_would_run_does_not_run_here(small: Path, tmp_path: Path, part: str) -> None:
    mark = tmp_path / "ran"
    code = f"__import__('pathlib').Path({str(mark)!r}).touch()"

    def change(name: str, content: bytes) -> bytes:
        if name.endswith(part):
            return pickle.dumps(Trap(mark))
        if part == "weight_0" and name.endswith("weights_config.json"):
            return content.replace(b'"use_pickle": false', b'"use_pickle": true', 1)
        if "models/" in name and part in ("guards", "shapes"):
            fields = json.loads(content)
            if part == "guards":
                fields["guards_code"] = [code]
            else:
                for value in fields["graph_module"]["graph"]["tensor_values"].values():
                    for size in value["sizes"]:
                        if "as_expr" in size:
                            size["as_expr"]["expr_str"] = code
            return json.dumps(fields).encode()
        return content

    path = rewritten(small, tmp_path / "bad.pt2", change)
    if part == "weight_0":
        with pytest.raises(DataError, match=r"bad.pt2: its first.weight is a pickle, and nothing is unpickled"):
            pt2.read_pt2(path)
    else:
        pt2.read_pt2(path).network(torch.zeros(1, 3, 8, 8))
    assert not mark.exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no zip", None])
def test_a_file_that_is_no_program(small: Path, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "bad.pt2"
    if content is None:
        torch.save({"weight": torch.zeros(1)}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"bad.pt2: (not a program that can be read|holds no program of torch.export)"):
        pt2.read_pt2(path)


def test_a_program_of_another_schema(small: Path, tmp_path: Path) -> None:
    change = {b'"major": 8': b'"major": 9'}

    def newer(_: str, content: bytes) -> bytes:
        for old, new in change.items():
            content = content.replace(old, new)
        return content

    with pytest.raises(DataError, match=r"has schema 9. Expected 8: write it anew"):
        pt2.read_pt2(rewritten(small, tmp_path / "bad.pt2", newer))
