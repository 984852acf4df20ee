"""HTTP around the runtime, and a page for the browser. Importing this loads no web framework; using a name does."""

from typing import TYPE_CHECKING, Any

from vesselrt.runtime.errors import MissingExtraError

if TYPE_CHECKING:
    from vesselrt.server.http.application import create_app
    from vesselrt.server.process import serve
    from vesselrt.server.settings import Settings

__all__ = ["Settings", "create_app", "serve"]


if not TYPE_CHECKING:  # for type checkers there is no name but those above

    def __getattr__(name: str) -> Any:
        try:
            return _import(name)
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("vesselrt"):
                raise
            raise MissingExtraError.of("the server", "serve") from None


def _import(name: str) -> Any:
    if name == "create_app":
        from vesselrt.server.http.application import create_app

        return create_app
    if name == "serve":
        from vesselrt.server.process import serve

        return serve
    if name == "Settings":
        from vesselrt.server.settings import Settings

        return Settings
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
