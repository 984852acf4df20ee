"""LitServe's part of `peers`, in a file of its own: its worker process imports the class by name."""

import base64
from typing import Any

import litserve
from fastapi import Response

from vesselrt.benchmarks.peer_model import PeerModel


class Api(litserve.LitAPI):  # type: ignore[misc]
    """Photograph as base64 in JSON, as LitServe's documentation sends images, to mask PNG."""

    def __init__(self, model: str | None, threads: int) -> None:
        super().__init__()
        self._given = (model, threads)

    def setup(self, device: str) -> None:  # noqa: ARG002
        self._model = PeerModel(*self._given)

    def decode_request(self, request: dict[str, Any]) -> tuple[bytes, float]:
        return base64.b64decode(request["image"]), request["factor"]

    def predict(self, given: tuple[bytes, float]) -> bytes:
        return self._model(*given)

    def encode_response(self, mask: bytes) -> Response:
        return Response(mask, media_type="image/png")
