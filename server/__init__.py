"""HTTP around the runtime, and a page for the browser. Importing this loads no web framework; using a name does."""

import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

from vesselrt.runtime.errors import MissingExtraError

if TYPE_CHECKING:
    from vesselrt.server.http.application import create_app
    from vesselrt.server.process import serve
    from vesselrt.server.settings import ServerSettings

__all__ = ["ServerSettings", "create_app", "serve"]

_HOMES = {
    "ServerSettings": "vesselrt.server.settings",
    "create_app": "vesselrt.server.http.application",
    "serve": "vesselrt.server.process",
}


if not TYPE_CHECKING:  # for type checkers there is no name but those above

    def __getattr__(name: str) -> Any:
        if name == "Settings":
            warnings.warn("Settings is called ServerSettings now", DeprecationWarning, stacklevel=2)
            name = "ServerSettings"
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        try:
            return getattr(import_module(_HOMES[name]), name)
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("vesselrt"):
                raise
            raise MissingExtraError.of("the server", "serve") from None
