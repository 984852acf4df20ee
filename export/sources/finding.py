"""Where a network to export comes from: a training run, a file or folder of another library, or anybody's module.

A source is told by what it is:

    folder with recipe.json                        training run
    folder with configs/                           MONAI bundle
    folder with config.json, model.safetensors     segmentation_models_pytorch
    file .onnx                                     ONNX, of any program
    file .pt2                                      torch.export
    package.module:callable                        any torch.nn.Module

What a source does not tell of its manifest is asked for, in a YAML file. Nothing is unpickled and no code of a source
runs, but that of a callable which the user names.
"""

import sys
from pathlib import Path

from vesselrt.export.sources.onnxfile import ONNX_SUFFIX, read_onnx
from vesselrt.export.sources.source import Source, described_source, manifest_fields, with_weights_hash
from vesselrt.runtime.errors import DataError, OptionError
from vesselrt.runtime.manifest import Manifest


def find_source(
    name: str, weights: Path | None = None, manifest: Path | None = None, data: Path | None = None
) -> Source:
    """The source of a name. `weights` belong to a callable or a bundle, `data` to a run, `manifest` to all but a run.

    Raises OptionError for what is none, or for an option that does not belong to it; DataError, ManifestError or
    MissingExtraError where the source itself can't be used.
    """
    path = Path(name)
    if path.suffix == ONNX_SUFFIX:
        _refuse(f"{name} holds its weights", weights=weights)
        _refuse(f"{name} is no training run", data=data)
        return described_source(read_onnx(path), manifest, name)
    return _find_torch_source(name, weights, manifest, data)


def _find_torch_source(name: str, weights: Path | None, manifest: Path | None, data: Path | None) -> Source:
    # here, so that an ONNX file needs no torch
    from vesselrt.export.sources.bundle import is_bundle, read_bundle
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
    if is_smp_folder(path) or path.suffix == PT2_SUFFIX:
        _refuse(f"{name} holds its weights", weights=weights)
        found = read_pt2(path) if path.suffix == PT2_SUFFIX else read_smp_folder(path)
        return described_source(found, manifest, name)
    if path.is_file() and path.suffix in PICKLE_SUFFIXES:
        raise refuse_pickle(path)
    if path.exists() or ":" not in name:
        raise OptionError(
            f"{name}: nothing that can be exported. Expected a training run (recipe.json), a MONAI bundle (configs/), "
            "a folder of segmentation_models_pytorch (config.json, model.safetensors), an ONNX file, a .pt2 file of "
            "torch.export, or package.module:callable."
        )
    if weights is None or manifest is None:
        raise OptionError(f"{name}: a callable needs --weights and --manifest. See: vesselrt export --help")
    _reach_own_modules()
    return source_from_callable(name, weights, manifest)


def _reach_own_modules() -> None:
    """They lie where the command is run. No other source may import from there: none of its code is to run."""
    sys.path.append(str(Path.cwd()))


def _refuse(what: str, **options: Path | None) -> None:
    """Raises OptionError for an option that is given and does not belong to a source."""
    for option, value in options.items():
        if value is not None:
            raise OptionError(f"{what}, and --{option} does not belong to it. Leave it out.")


def source_from_callable(factory: str, weights: Path, manifest: Path) -> Source:
    """Any module: `factory` is package.module:callable. What it gives is the user's to say.

    Raises DataError or ManifestError that name the part which does not fit.
    """
    from torch import nn

    from vesselrt.export.weights import fill_network, hash_weights, load_weights
    from vesselrt.training.fit.recipe import NetworkFactory

    network = NetworkFactory(factory=factory).build()
    if not isinstance(network, nn.Module):
        raise DataError(f"network {factory} gives a {type(network).__name__}. Expected a torch.nn.Module.")
    state, shift = load_weights(weights)
    taken = fill_network(network, state, weights)
    checked = Manifest.from_fields(manifest_fields(manifest), source=str(manifest))
    return Source(network, with_weights_hash(checked, hash_weights(taken)), [], shift or 0.0)
