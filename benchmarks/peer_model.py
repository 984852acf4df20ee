"""The network of `peers` as its users run it: PyTorch, with MONAI's sliding windows."""

from vesselrt.benchmarks.compare import UserPath
from vesselrt.benchmarks.twin import Twin
from vesselrt.runtime.modelfile import find_model_file, read_manifest


class PeerModel:
    """Photograph → mask PNG."""

    def __init__(self, model: str | None, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        path = find_model_file(model)
        self._network, self._manifest = Twin(path).eval(), read_manifest(path)

    def __call__(self, data: bytes, factor: float) -> bytes:
        return UserPath(self._network, self._manifest, factor)(data)
