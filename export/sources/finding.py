"""Where a network to export comes from: a training run, a file or folder of another library, or anybody's module.

A source is told by what it is:

    folder with recipe.json                        training run
    folder with configs/                           MONAI bundle
    folder with plans.json, dataset.json           nnU-Net v2
    folder with config.json: architectures         transformers (Hugging Face)
    folder with config.json: _model_class          segmentation_models_pytorch
    file .onnx                                     ONNX, of any program
    file .pt2                                      torch.export
    package.module:callable                        any torch.nn.Module

What a source does not tell of its manifest is asked for, in a YAML file. Nothing is unpickled and no code of a source
runs, but that of a callable which the user names.
"""

import sys
from pathlib import Path
from typing import Any

from vesselrt.export.sources.onnxfile import ONNX_SUFFIX, read_onnx
from vesselrt.export.sources.source import (
    Source,
    described_source,
    manifest_fields,
    with_weights_hash,
    with_whole_tile,
)
from vesselrt.runtime.errors import DataError, OptionError
from vesselrt.runtime.manifest import Manifest


def find_source(
    name: str,
    weights: Path | None = None,
    manifest: Path | None = None,
    data: Path | None = None,
    fold: str | None = None,
) -> Source:
    """The source of a name. `weights` belong to a callable or a bundle, `data` to a run, `fold` to nnU-Net, `manifest`
    to all but a run.

    Raises OptionError for what is none, or for an option that does not belong to it; DataError, ManifestError or
    MissingExtraError where the source itself can't be used.
    """
    path = Path(name)
    if path.suffix == ONNX_SUFFIX:
        _refuse(f"{name} holds its weights", weights=weights)
        _refuse(f"{name} is no training run", data=data)
        _refuse(_NO_FOLDS.format(name), fold=fold)
        return described_source(read_onnx(path), manifest, name)
    # here, so that an ONNX file needs no torch
    from vesselrt.export.sources.nnunet import is_nnunet_folder, read_nnunet

    if is_nnunet_folder(path):
        _refuse(f"{name} holds its weights", weights=weights)
        _refuse(f"{name} is no training run", data=data)
        return described_source(read_nnunet(path, fold), manifest, name)
    _refuse(_NO_FOLDS.format(name), fold=fold)
    return _find_torch_source(name, weights, manifest, data)


def _find_torch_source(name: str, weights: Path | None, manifest: Path | None, data: Path | None) -> Source:
    from vesselrt.export.sources.bundle import is_bundle, read_bundle
    from vesselrt.export.sources.huggingface import is_transformers_folder, read_transformers_folder
    from vesselrt.export.sources.pickles import PICKLE_SUFFIXES, refuse_pickle
    from vesselrt.export.sources.pt2 import PT2_SUFFIX, read_pt2
    from vesselrt.export.sources.run import source_from_run
    from vesselrt.export.sources.smp import is_smp_folder, read_smp_folder

    path = Path(name)
    if (path / "recipe.json").is_file():
        _refuse(f"{name} is a training run", weights=weights, manifest=manifest)
        _reach_own_modules()
        return source_from_run(path, data)
    _refuse(f"{name} is no training run", data=data)
    if is_bundle(path):
        return described_source(read_bundle(path, weights), manifest, name)
    readers = {
        read_transformers_folder: is_transformers_folder(path),
        read_smp_folder: is_smp_folder(path),
        read_pt2: path.suffix == PT2_SUFFIX,
    }
    for read, fits in readers.items():
        if fits:
            _refuse(f"{name} holds its weights", weights=weights)
            return described_source(read(path), manifest, name)
    if path.is_file() and path.suffix in PICKLE_SUFFIXES:
        raise refuse_pickle(path)
    if path.exists() or ":" not in name:
        raise OptionError(
            f"{name}: nothing that can be exported. Expected a training run (recipe.json), a MONAI bundle (configs/), "
            "a results folder of nnU-Net v2 (plans.json, dataset.json), a folder of transformers or "
            "segmentation_models_pytorch (config.json, model.safetensors), an ONNX file, a .pt2 file of torch.export, "
            "or package.module:callable."
        )
    if manifest is None:
        raise OptionError(f"{name}: a callable needs --manifest. See: vesselrt export --help")
    _reach_own_modules()
    return source_from_callable(name, weights, manifest)


_NO_FOLDS = "{} is no folder of nnU-Net"


def _reach_own_modules() -> None:
    """They lie where the command is run. No other source may import from there: none of its code is to run."""
    sys.path.append(str(Path.cwd()))


def _refuse(what: str, **options: Path | str | None) -> None:
    """Raises OptionError for an option that is given and does not belong to a source."""
    for option, value in options.items():
        if value is not None:
            raise OptionError(f"{what}, and --{option} does not belong to it. Leave it out.")


def source_from_callable(factory: str, weights: Path | None, manifest: Path) -> Source:
    """Any module: `factory` is package.module:callable. What it gives is the user's to say.

    `weights` None: the factory fills the network itself, and the provenance says so.

    Raises DataError or ManifestError that name the part which does not fit.
    """
    from vesselrt.export.weights import fill_network, hash_weights, load_weights

    network, shift = _built(factory), None
    fields, untold = with_whole_tile(manifest_fields(manifest))
    checked = Manifest.from_fields(fields, source=str(manifest))
    if weights is not None:
        state, shift = load_weights(weights)
        taken = fill_network(network, state, weights)
    else:
        taken = dict(network.state_dict())
        if hash_weights(taken) != hash_weights(dict(_built(factory).state_dict())):
            raise DataError(
                f"network {factory} has other weights each time it is built: they are random, and not trained. Name "
                "the trained ones with --weights, or let the function load them."
            )
        told = " ".join(filter(None, [checked.provenance.recipe, f"(weights: those that {factory} gives)"]))
        provenance = checked.provenance.model_copy(update={"recipe": told})
        checked = checked.model_copy(update={"provenance": provenance})
    return Source(network, with_weights_hash(checked, hash_weights(taken)), [], shift or 0.0, untold=untold)


def _built(factory: str) -> Any:
    """The torch.nn.Module that a callable gives. Raises DataError."""
    from torch import nn

    from vesselrt.training.fit.recipe import NetworkFactory

    network = NetworkFactory(factory=factory).build()
    if not isinstance(network, nn.Module):
        raise DataError(f"network {factory} gives a {type(network).__name__}. Expected a torch.nn.Module.")
    return network
