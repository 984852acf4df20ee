"""A folder of transformers. A small network stands for the library's, which is used itself where it is installed."""

import importlib
import importlib.util
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vesselrt.export.sources import huggingface
from vesselrt.export.sources.finding import find_source
from vesselrt.export.sources.huggingface import read_transformers_folder
from vesselrt.runtime.errors import DataError, MissingExtraError

PROCESSOR = {
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.5, 0.4, 0.3],
    "image_std": [0.2, 0.2, 0.1],
    "rescale_factor": 1 / 255,
    "size": {"height": 96, "width": 128},
}


class SegformerForSemanticSegmentation(nn.Module):
    """Stands for the library's: logits of a quarter of the sides."""

    missing: tuple[str, ...] = ()
    asked: dict[str, Any] = {}

    class config_class:  # noqa: N801 - the library's name
        @staticmethod
        def from_pretrained(folder: str, **asked: Any) -> SimpleNamespace:
            labels = json.loads((Path(folder) / "config.json").read_text())["id2label"]
            return SimpleNamespace(num_labels=len(labels), id2label={int(k): v for k, v in labels.items()})

    def __init__(self, config: SimpleNamespace) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.config, self.look = config, nn.Conv2d(3, config.num_labels, 4, stride=4)

    def forward(self, pixel_values: Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=self.look(pixel_values))

    @classmethod
    def from_pretrained(cls, folder: str, config: SimpleNamespace, **asked: Any) -> Any:
        cls.asked = asked
        return cls(config), {"missing_keys": cls.missing, "mismatched_keys": ()}


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> type[SegformerForSemanticSegmentation]:
    kind = SegformerForSemanticSegmentation
    monkeypatch.setattr(kind, "__module__", "transformers.models.segformer")
    quiet = SimpleNamespace(set_verbosity_error=lambda: None, disable_progress_bar=lambda: None)
    stand_in: Any = SimpleNamespace(utils=SimpleNamespace(logging=quiet), __version__="5.0")
    setattr(stand_in, kind.__name__, kind)
    monkeypatch.setitem(sys.modules, huggingface.LIBRARY, stand_in)
    return kind


def write(folder: Path, *labels: str, name: str = "SegformerForSemanticSegmentation", **processor: Any) -> Path:
    folder.mkdir(exist_ok=True)
    config = {"architectures": [name], "id2label": dict(enumerate(labels)), "model_type": "segformer"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "preprocessor_config.json").write_text(json.dumps({**PROCESSOR, **processor}))
    (folder / "model.safetensors").touch()
    return folder


@pytest.mark.usefixtures("library")
def test_a_folder_tells_what_its_network_is(tmp_path: Path) -> None:
    found = read_transformers_folder(write(tmp_path / "Eyes", "background", "artery", "vein"))
    assert found.facts == {
        "name": "eyes",
        "preparation": {"channels": "rgb", "size": [96, 128]},
        "input": {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.1]},
        "tile": {"size": 128},
        "classes": ["artery", "vein"],
        "provenance": {"recipe": "transformers SegformerForSemanticSegmentation"},
    }
    assert (found.channels, found.output) == (3, "softmax")
    asked = SegformerForSemanticSegmentation.asked
    assert asked["local_files_only"] is asked["use_safetensors"] is True
    assert asked["trust_remote_code"] is False


@pytest.mark.usefixtures("library")
def test_logits_are_resized_to_the_picture(tmp_path: Path) -> None:
    network = read_transformers_folder(write(tmp_path, "background", "vessel")).network
    image = torch.rand(1, 3, 32, 48)
    with torch.inference_mode():
        small = network.network(image).logits
        expected = nn.functional.interpolate(small, (32, 48), mode="bilinear", align_corners=False)
        assert torch.equal(network(image), expected)


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize(
    ("labels", "output", "classes"),
    [
        (("LABEL_0",), "logits", None),
        (("LABEL_0", "LABEL_1"), "softmax", None),
        (("Background", "vessel/thin"), "softmax", ["vessel-thin"]),
        (("wall", "floor", "sky"), "softmax", None),
    ],
)
def test_labels_become_classes(tmp_path: Path, labels: tuple[str, ...], output: str, classes: Any) -> None:
    found = read_transformers_folder(write(tmp_path, *labels))
    assert (found.output, found.facts.get("classes")) == (output, classes)


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize(
    ("processor", "mean", "std"),
    [
        ({"do_normalize": False}, 0, 1),
        ({"do_rescale": False}, 0.5 / 255, 0.2 / 255),
        ({"rescale_factor": 2 / 255}, 0.25, 0.1),
    ],
)
def test_how_values_are_scaled(tmp_path: Path, processor: dict[str, Any], mean: float, std: float) -> None:
    facts = read_transformers_folder(write(tmp_path, "background", "vessel", **processor)).facts
    assert (facts["input"]["mean"][0], facts["input"]["std"][0]) == (pytest.approx(mean), pytest.approx(std))


@pytest.mark.usefixtures("library")
def test_a_scale_of_the_user_takes_the_place_of_the_size(tmp_path: Path) -> None:
    folder = write(tmp_path / "eyes", "background", "vessel")
    said = {"version": "1", "licence": "none", "description": "Eyes.", "preparation": {"field_of_view": 256}}
    (tmp_path / "m.yaml").write_text(json.dumps(said))
    preparation = find_source(str(folder), manifest=tmp_path / "m.yaml").manifest.preparation
    assert (preparation.field_of_view, preparation.size) == (256, None)


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Mask2FormerForUniversalSegmentation", "gives a list of objects, each with a mask and a class"),
        ("MaskFormerForInstanceSegmentation", "gives a list of objects"),
        ("BertModel", "its network is BertModel. Expected one that ends with ForSemanticSegmentation"),
        ("OwnForSemanticSegmentation", "transformers 5.0 has no OwnForSemanticSegmentation. Install a release"),
    ],
)
def test_networks_that_are_refused(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        find_source(str(write(tmp_path, "background", "vessel", name=name)))


@pytest.mark.usefixtures("library")
def test_weights_that_are_none(
    tmp_path: Path, library: type[SegformerForSemanticSegmentation], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path, "background", "vessel")
    monkeypatch.setattr(library, "missing", ("look.weight",))
    with pytest.raises(DataError, match="the weights do not fit SegformerForSemanticSegmentation: 1 missing"):
        read_transformers_folder(folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(DataError, match=r"no model.safetensors \(pytorch_model.bin is a pickle"):
        read_transformers_folder(folder)


def test_the_library_is_an_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path, "background", "vessel")

    def fail(name: str) -> None:
        raise ModuleNotFoundError("no", name=name)

    monkeypatch.setattr(importlib, "import_module", fail)
    with pytest.raises(MissingExtraError, match=r"pip install 'vesselrt\[huggingface\]'"):
        read_transformers_folder(folder)


@pytest.mark.skipif(
    importlib.util.find_spec(huggingface.LIBRARY) is None, reason=f"{huggingface.LIBRARY} is not installed"
)
def test_the_library_loads_what_it_saved(tmp_path: Path) -> None:
    library = huggingface._library()
    sizes = {"depths": [1] * 4, "hidden_sizes": [8, 16, 24, 32], "decoder_hidden_size": 16}
    network = library.SegformerForSemanticSegmentation(library.SegformerConfig(**sizes)).eval()
    network.save_pretrained(tmp_path)
    found = read_transformers_folder(tmp_path)
    image = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(found.network.network(image).logits, network(image).logits)
