"""Files of torch.save and torch.jit.save as a SOURCE: they are programs, or they hold weights and no network."""

import re
import zipfile
from pathlib import Path

import torch

from vesselrt.runtime.errors import DataError

PICKLE_SUFFIXES = frozenset({".bin", ".ckpt", ".pkl", ".pt", ".pth", ".tar", ".torchscript", ".ts"})
_CODE = re.compile(r"(^|/)code/.*\.py$")
_FORBIDDEN = re.compile(r"GLOBAL (\S+) was not an allowed global")


def refuse_pickle(path: Path) -> DataError:
    """The error that says what the file is and how its network gets here. Nothing of it is run or unpickled.

    TorchScript is Python that its archive carries: PyTorch's SECURITY.md treats such a file as code of the sender, and
    `torch.jit.load` has no mode that is safe.
    """
    if _is_torchscript(path):
        return DataError(
            f"{path} is TorchScript, a program, and no code of a source is run. If you trust it, write it as ONNX and "
            f'export that: torch.onnx.export(torch.jit.load("{path}"), torch.zeros(1, 3, 512, 512), "net.onnx", '
            'dynamo=False, input_names=["image"], dynamic_axes={"image": {0: "n", 2: "h", 3: "w"}}).'
        )
    try:
        torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - what a hostile file raises inside torch is anyone's guess
        forbidden = _FORBIDDEN.search(str(error))
        named = f" ({forbidden[1]})" if forbidden else ""
        return DataError(
            f"{path} holds pickled objects{named}, a program, and no code of a source is run. If you trust it, load it "
            "and save its weights: torch.save(network.state_dict(), ...). Then: SOURCE package.module:function, "
            "--weights."
        )
    return DataError(
        f"{path} holds weights and no network. Name the function that builds the network: SOURCE "
        f"package.module:function, --weights {path}, --manifest."
    )


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any(_CODE.search(name) for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False
