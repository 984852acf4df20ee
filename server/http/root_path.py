"""The folder that a proxy has put the server in, taken off the addresses that it sends.

What is left is what a proxy would send that takes it off itself: the rest of the server knows one case.
"""

from starlette.types import ASGIApp, Receive, Scope, Send


class RootPath:
    """ASGI middleware, outside of all that looks at an address: /vessels/predict is /predict for the rest.

    What comes without the folder is taken as it is: health checks do not pass the proxy.
    """

    def __init__(self, app: ASGIApp, root: str) -> None:
        """`root`: such as "/vessels"."""
        self._app, self._root = app, root

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope.get("path", "")
        if path == self._root or path.startswith(f"{self._root}/"):
            raw: bytes | None = scope.get("raw_path")
            rest = path.removeprefix(self._root) or "/"
            headers = [*scope["headers"], (b"x-forwarded-prefix", self._root.encode())]
            scope = {**scope, "path": rest, "headers": headers}
            if raw is not None:
                scope["raw_path"] = raw.removeprefix(self._root.encode()) or b"/"
        await self._app(scope, receive, send)
