"""Networks from elsewhere: what docs/networks.md promises runs, and what does not belong is refused."""

import re
import warnings
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from sources import FIELDS, PAGE, SECTIONS, Photo, Run, noise, normalised, probability
from torch import Tensor, nn

from vesselrt.export.graph import export_model
from vesselrt.export.head import Head, Output
from vesselrt.export.sources import huggingface, nnunet, smp
from vesselrt.runtime.errors import ExportError
from vesselrt.runtime.manifest import Manifest
from vesselrt.runtime.modelfile import read_manifest

# The page

EXAMPLES = [section for section in SECTIONS[1:] if "```sh" in section]


@pytest.mark.parametrize("section", EXAMPLES, ids=[s.partition("\n")[0] for s in EXAMPLES])
def test_the_examples_run(
    section: str, vesselrt: Run, tmp_path: Path, fundus_photo: Callable[[int, int, int], Photo]
) -> None:
    for library in (smp.LIBRARY, nnunet.LIBRARY, huggingface.LIBRARY, "torchvision"):
        if f"{library} import" in section or f"import {library}" in section or f"from {library}." in section:
            pytest.importorskip(library, reason="an extra, of which torchvision has no build for every torch")
    for i in range(3):
        image, truth = fundus_photo(128, 120, i)
        for kind, pixels in (("images", image[..., ::-1]), ("masks", truth * np.uint8(255))):
            (tmp_path / "eyes" / kind).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(tmp_path / "eyes" / kind / f"{i:02}.png"), pixels)
    cv2.imwrite("photo.jpg", fundus_photo(160, 150, 7)[0])
    torch.manual_seed(0)
    names = {"__name__": "example"}
    for language, code in re.findall(r"```(python|sh)\n(.*?)```", section, re.DOTALL):
        if language == "python":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # deprecations inside torch's exporter
                exec(compile(code, "networks.md", "exec"), names)
            continue
        for line in code.splitlines():
            status, out, err = vesselrt(line)
            assert status == 0, f"{line}: {err}"
            if " evaluate " in line:
                assert "f1" in out.lower()
    made = re.findall(r"-o (\w+\.onnx)", section)
    assert made
    for manifest in (read_manifest(tmp_path / name) for name in made):
        assert manifest.provenance.parity["f32"]["largest_difference"] < 1e-5
        assert re.fullmatch("[0-9a-f]{64}", manifest.provenance.weights_sha256)
    pictures = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in tmp_path.glob("*.png")]
    assert pictures
    assert all(picture is not None and picture.shape == (160, 150) for picture in pictures)


def test_links_of_the_page_exist() -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", PAGE)
    assert targets
    assert [t for t in targets if not (Path(__file__).parents[2] / "docs" / t).exists()] == []


# What a network gives


class Ends(nn.Module):
    """A convolution to so many channels, and what comes after it."""

    def __init__(self, channels: int, end: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(channels)
        self.look, self.end = nn.Conv2d(3, channels, 3, padding=1), end

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.end(3 * self.look(x))
        return answer


MANIFEST = Manifest.from_fields({**FIELDS, "tile": {"size": 64, "multiple": 4, "margin": 4}}, source="test")


@pytest.mark.parametrize(
    ("channels", "end", "output"),
    [
        (2, nn.Identity(), "softmax"),
        (1, nn.Sigmoid(), "probability"),
        (2, nn.Softmax(dim=1), "probability"),
        (2, nn.LogSoftmax(dim=1), "softmax"),  # its softmax is the same
    ],
)
def test_every_kind_of_output_becomes_the_probability_of_vessel(
    tmp_path: Path, channels: int, end: nn.Module, output: Output
) -> None:
    network = Ends(channels, end)
    export_model(network, MANIFEST, tmp_path / "m.onnx", [], Head(output))
    pixels = noise(2, 3, 8, 12)
    with torch.inference_mode():
        answer = network(normalised(pixels))
    expected = answer if output == "probability" else answer.softmax(1)
    assert probability(tmp_path / "m.onnx", pixels) == pytest.approx(expected[:, -1:].numpy(), abs=1e-5)


@pytest.mark.parametrize(
    ("network", "output", "message"),
    [
        (
            Ends(1, nn.Sigmoid()),
            "logits",
            "the network ends with Sigmoid: it gives a probability already. Say --output",
        ),
        (Ends(2, nn.Softmax(dim=1)), "softmax", "the network ends with Softmax: it gives a probability already."),
        (
            Ends(1, nn.Identity()),
            "probability",
            r"gives values from -\d.* to \d.*, no probability. Say --output logits",
        ),
        (
            Ends(2, nn.Identity()),
            "logits",
            "gives 2 channel\\(s\\), and --output logits has 1. Say --output softmax where",
        ),
        (
            Ends(1, nn.Identity()),
            "softmax",
            "gives 1 channel\\(s\\), and --output softmax has 2 or more. Say --output logits, or",
        ),
        (
            Ends(3, nn.Identity()),
            "probability",
            "gives 3 channels. Say which one is the vessel's: --vessel 0 to 2",
        ),
        (Ends(1, nn.Flatten()), "logits", "gives a tensor of 2 dimensions. Expected"),
        (
            Ends(1, nn.AvgPool2d(2)),
            "logits",
            r"gives \(1, 1, 20, 24\) for \(1, 3, 40, 48\). Expected it as high and as wide as the window",
        ),
    ],
)
def test_an_output_that_is_not_what_was_said_is_refused(
    tmp_path: Path, network: nn.Module, output: Output, message: str
) -> None:
    with pytest.raises(ExportError, match=message):
        export_model(network, MANIFEST, tmp_path / "m.onnx", [], Head(output))
    assert list(tmp_path.iterdir()) == []


# Which source it is


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nothing", "nothing: nothing that can be exported. Expected a training run (recipe.json), a MONAI bundle"),
        (".", ".: nothing that can be exported."),
        ("network.yaml", "network.yaml: nothing that can be exported."),
        ("a.b:c --weights w.pth", "a.b:c: a callable needs --manifest."),
        ("net.onnx --fold 0", "net.onnx is no folder of nnU-Net, and --fold does not belong to it."),
        ("net.pt2 --weights w.pth", "net.pt2 holds its weights, and --weights does not belong to it. Leave it out."),
        ("net.pt2 --data .", "net.pt2 is no training run, and --data does not belong to it."),
        ("run --manifest network.yaml", "run is a training run, and --manifest does not belong to it."),
        ("net.pt2 --run run", "name one SOURCE, and the file to write with -o."),
        ("net.pt2", "net.pt2: not a program that can be read (FileNotFoundError: "),
    ],
)
def test_what_is_no_source_or_has_a_wrong_option(vesselrt: Run, tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.json").write_text("{}")
    code, out, err = vesselrt(f"vesselrt export {line} -o m.onnx")
    assert (code, out) == (1, "")
    assert " ".join(err.split()).startswith(f"error: {message}")
