"""Parts of networks that a file may name, and nothing else that has a name."""

from torch import nn


def torch_layer(name: str) -> type[nn.Module] | None:
    """The class of torch.nn that a dotted name means; None for what must not be built."""
    module, _, last = name.rpartition(".")
    if module != nn.__name__ and not module.startswith(f"{nn.__name__}.modules."):
        return None
    found = vars(nn).get(last)
    return found if isinstance(found, type) and issubclass(found, nn.Module) else None
