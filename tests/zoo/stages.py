"""What each network goes through, and what is kept of it."""

import logging
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

import vesselrt
from vesselrt.export.engine import build
from vesselrt.export.fp16 import WEIGHTED
from vesselrt.export.graph import export_model
from vesselrt.export.head import Head
from vesselrt.export.parity import MOST_FLIPPED
from vesselrt.export.precision import convert_model
from vesselrt.export.reference import pick_tensor
from vesselrt.export.sources.source import with_whole_tile
from vesselrt.export.tiles import Draft
from vesselrt.export.windows import photograph_windows
from vesselrt.runtime.arrays import Image
from vesselrt.runtime.errors import VesselrtError, first_line
from vesselrt.runtime.manifest import Manifest
from zoo.networks import ZooNetwork

STAGES = ("f32", "fp16", "int8", "engine", "predict")
"""Export with parity; the two precisions that are made of its file; an engine for sm75 of the second; a photograph."""
NEEDS = {"fp16": "f32", "int8": "f32", "engine": "fp16", "predict": "f32"}
VESSEL = 0.12
"""Share of the pixels that are vessel."""
_LIT = 0.1
"""Of the green channel: what is darker lies outside of the eye."""
_STEPS, _LEARNING_RATE = 30, 2e-3

Row = dict[str, Any]
"""Stage → what was measured, or `refused` with the sentence, or `failed` with what was raised; a stage whose file is
missing is not there."""


class Resized(nn.Module):
    """The tensor that holds the mask, as high and wide as the window."""

    def __init__(self, network: nn.Module, pick: str | None) -> None:
        super().__init__()
        self.network, self.pick = network, pick

    def forward(self, image: Tensor) -> Tensor:
        answer = pick_tensor(self.network(image), self.pick)
        if answer.shape[2:] != image.shape[2:]:
            answer = functional.interpolate(answer, image.shape[2:], mode="bilinear")
        return answer


def trained(network: ZooNetwork, manifest: Manifest, photograph: Image) -> tuple[nn.Module, Head]:
    """The network after a few steps on the darkest lines of one photograph, and the head that finds `VESSEL` there.

    As it is made, a network gives nearly one value everywhere: what FP16 and INT8 change of that says nothing.
    """
    torch.manual_seed(0)
    module = Resized(network.build(), network.pick).eval()
    mean, std = (torch.tensor(values)[:, None, None] for values in (manifest.input.mean, manifest.input.std))
    pixels = torch.from_numpy(np.concatenate(photograph_windows(manifest, photograph))).float() / 255
    if len(pixels) == 1:  # a norm behind global pooling has no spread over one window
        pixels = torch.cat((pixels, pixels.flip(3)))
    green = pixels[:, 1:2]
    darker = (functional.avg_pool2d(green, 9, 1, 4, count_include_pad=False) - green) * (green > _LIT)
    windows, truth = (pixels - mean) / std, (darker > darker.quantile(1 - VESSEL)).float()

    def logits() -> Tensor:
        answer: Tensor = module(windows)
        return answer[:, 1:] - answer[:, :1] if network.output == "softmax" else answer

    norms = [part for part in module.modules() if isinstance(part, _BatchNorm)]
    for norm in norms:
        norm.train()  # the rest is in evaluation: no dropout, no outputs for training alone
    optimizer = torch.optim.Adam(module.parameters(), lr=_LEARNING_RATE)
    for _ in range(_STEPS):
        optimizer.zero_grad()
        functional.binary_cross_entropy_with_logits(logits(), truth).backward()
        optimizer.step()
    with torch.no_grad():
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the plain average
        logits()
        module.eval()
        vessel = logits()
    return module, Head(network.output, shift=-float(vessel.quantile(1 - VESSEL)))


def draft_of(network: ZooNetwork) -> Draft:
    """Of an eye of 128 px and ImageNet's colours. Of the tile it says the size alone, as a user would."""
    name = "".join(letter if letter.isalnum() else "-" for letter in network.title.lower())
    fields = {
        "name": name,
        "version": "0",
        "licence": "none",
        "description": "Hardly trained.",
        "preparation": {"channels": "rgb", "field_of_view": 128},
        "input": {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]},
        "tile": {"size": network.size},
    }
    fields, untold = with_whole_tile(fields)
    return Draft(Manifest.from_fields(fields, source=network.title), untold)


@dataclass(frozen=True)
class Course:
    """One network on its way: its files lie in `folder`."""

    network: ZooNetwork
    photograph: Image
    folder: Path

    def f32(self) -> Row:
        """PyTorch → model file, compared."""
        draft = draft_of(self.network)
        module, head = trained(self.network, draft.manifest, self.photograph)
        path, photographs = self.folder / "f32.onnx", [self.photograph]
        written = export_model(module, draft.manifest, path, photographs, head, draft.untold)
        return {
            "difference": written.provenance.parity["f32"]["largest_difference"],
            "parameters": sum(part.numel() for part in module.parameters()),
            **written.tile.model_dump(include={"multiple", "margin", "blend", "fixed"}),
        }

    def fp16(self) -> Row:
        """The same in FP16."""
        written = convert_model(self.folder / "f32.onnx", self.folder / "fp16.onnx", "fp16", [self.photograph])
        return {"difference": written.provenance.parity["fp16"]["largest_difference"], **self._kept("fp16", written)}

    def int8(self) -> Row:
        """The same in INT8."""
        written = convert_model(self.folder / "f32.onnx", self.folder / "f32.int8.onnx", "int8", [self.photograph])
        return {"flipped": written.provenance.parity["int8"]["flipped"], **self._kept("f32.int8", written)}

    def engine(self) -> Row:
        """The FP16 file for the RTX 2080 Ti."""
        path = self.folder / "sm75.engine"
        build(self.folder / "fp16.onnx", ["rtx2080ti"]).write(path)
        return {"bytes": path.stat().st_size}

    def predict(self) -> Row:
        """The photograph by both backends, and by the INT8 file where there is one."""
        mask = self._mask("cpu:onnxruntime", "f32")
        row = {"vessel": float(mask.mean()), "flipped": float(np.mean(mask != self._mask("cpu:openvino", "f32")))}
        if (self.folder / "f32.int8.onnx").is_file():
            self._mask("cpu:openvino", "int8")
        if row["flipped"] > MOST_FLIPPED or not 0 < row["vessel"] < 1:
            raise VesselrtError(
                f"OpenVINO and ONNX Runtime differ in {row['flipped']:.2%} of the pixels, {row['vessel']:.2%} are "
                "vessel."
            )
        return row

    def _mask(self, device: Any, precision: Any) -> Any:
        with vesselrt.load(self.folder / "f32.onnx", device=device, precision=precision) as segmenter:
            return segmenter.segment(self.photograph).mask()

    def _kept(self, file: str, written: Manifest) -> Row:
        nodes = onnx.load(self.folder / f"{file}.onnx").graph.node
        kept = len(written.provenance.float_operations)
        return {"kept": kept, "operations": sum(node.op_type in WEIGHTED for node in nodes)}


def run_network(network: ZooNetwork, photograph: Image, folder: Path) -> Row:
    """Every stage of one network."""
    course = Course(network, photograph, folder)
    row: Row = {"library": network.library, "network": network.name}
    for stage in STAGES:
        if stage in NEEDS and "difference" not in row.get(NEEDS[stage], {}):
            continue
        run: Callable[[], Row] = getattr(course, stage)
        started = time.process_time()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of other people's networks
                row[stage] = run()
        except VesselrtError as error:
            row[stage] = {"refused": str(error).replace(f"{folder}/", "")}
        except Exception as error:
            logging.getLogger(__name__).exception("%s %s", network.title, stage)
            row[stage] = {"failed": f"{type(error).__name__}: {first_line(error)}"}
        row[stage]["seconds"] = round(time.process_time() - started, 1)
    return row


def passed(row: Row, stage: str) -> bool:
    """Whether the stage was reached and done."""
    return stage in row and not {"refused", "failed"} & row[stage].keys()


def unexpected(row: Row, network: ZooNetwork) -> list[str]:
    """A sentence for each stage that failed, or was refused without the words of a known limit, or has a limit that is
    none.
    """
    found = []
    for stage in (stage for stage in STAGES if stage in row):
        limit = network.limits.get(stage)
        told = row[stage].get("refused") or row[stage].get("failed", "passes, and a limit is listed")
        if passed(row, stage) != (limit is None) or (limit is not None and limit not in told):
            found.append(f"{network.title}, {stage}: {told}")
    return found
