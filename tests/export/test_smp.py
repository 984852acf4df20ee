"""A folder of segmentation_models_pytorch."""

import importlib
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import save_file
from sources import FIELDS
from torch import nn

from vesselrt.export.sources import smp
from vesselrt.export.sources.finding import find_source
from vesselrt.runtime.errors import DataError, MissingExtraError

# segmentation_models_pytorch: what needs no library

CONFIG = {"_model_class": "Unet", "encoder_name": "resnet18", "in_channels": 3, "classes": 1, "activation": None}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_file({"weight": torch.zeros(1)}, tmp_path / "model.safetensors")
    return tmp_path


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"_model_class": "from_pretrained"}, "its _model_class is from_pretrained. Expected one of DPT, "),
        ({"_model_class": None}, "its _model_class is None"),
        ({"encoder_name": "tu-hf-hub:someone/model"}, "its encoder tu-hf-hub:someone/model is one from elsewhere."),
        ({"activation": "argmax2d"}, "its activation is argmax2d. Expected one of None, identity, sigmoid, "),
        ({"activation": ["sigmoid"]}, r"its activation is \['sigmoid'\]. Expected one of None, identity, sigmoid, "),
    ],
)
def test_a_configuration_that_is_refused(folder: Path, fields: dict[str, Any], message: str) -> None:
    (folder / "config.json").write_text(json.dumps({**CONFIG, **fields}))
    with pytest.raises(DataError, match=message):
        smp.read_smp_folder(folder)


@pytest.mark.parametrize("text", ["[1]", "{", "null"])
def test_a_configuration_that_is_none(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text)
    with pytest.raises(DataError, match=r"config.json: (can't be read|its _model_class is None)"):
        smp.read_smp_folder(folder)


class Library:
    """Stands for segmentation_models_pytorch: keeps what its class is called with."""

    def __init__(self) -> None:
        self.called: dict[str, Any] = {}

    def Unet(self, **arguments: Any) -> nn.Module:  # noqa: N802 - the library's name
        self.called = arguments
        network = nn.Conv2d(arguments["in_channels"], arguments["classes"], 1)
        network.encoder = nn.Identity()
        network.encoder.output_stride = 32  # type: ignore[assignment]
        return network


def test_a_checkpoint_is_read_and_nothing_is_downloaded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library()
    monkeypatch.setitem(sys.modules, smp.LIBRARY, library)
    weights = {**nn.Conv2d(3, 1, 1).state_dict(), "classification_head.3.weight": torch.zeros(2)}
    save_file(weights, folder / "model.safetensors")
    fields = {**CONFIG, "encoder_weights": "imagenet", "aux_params": {"classes": 2}, "activation": "sigmoid"}
    (folder / "config.json").write_text(json.dumps(fields))
    (folder / "m.yaml").write_text(yaml.safe_dump({**FIELDS, "tile": {"size": 64, "margin": 0}}))
    source = find_source(str(folder), manifest=folder / "m.yaml")
    assert library.called["encoder_weights"] is library.called["aux_params"] is None
    assert "_model_class" not in library.called
    assert source.output == "probability"
    assert source.untold == {"multiple", "blend"}
    assert source.manifest.provenance.recipe == f"{smp.LIBRARY} Unet resnet18"
    assert source.network.state_dict().keys() == {"weight", "bias"}


@pytest.mark.parametrize(
    ("raised", "error", "message"),
    [
        (ModuleNotFoundError("no", name=smp.LIBRARY), MissingExtraError, r"pip install 'vesselrt\[smp\]'"),
        (
            RuntimeError("operator torchvision::nms does not exist"),
            DataError,
            "Its torchvision must be made for the torch",
        ),
    ],
)
def test_a_library_that_is_not_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch, raised: Exception, error: type[Exception], message: str
) -> None:
    def fail(name: str) -> None:
        raise raised

    monkeypatch.setattr(importlib, "import_module", fail)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    with pytest.raises(error, match=message):
        smp.read_smp_folder(folder)
