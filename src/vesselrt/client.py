"""A Segmenter on another machine: the same call, answered by `vesselrt serve`."""

import time
from collections.abc import Mapping
from http import HTTPStatus
from types import TracebackType
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from vesselrt.runtime import errors
from vesselrt.runtime.arrays import Image
from vesselrt.runtime.output.classes import Colours, Names, Thresholds
from vesselrt.runtime.output.formats import OutputFormat
from vesselrt.runtime.photo.decoding import Limits
from vesselrt.runtime.photo.photograph import Photograph, PhotoSource

if TYPE_CHECKING:
    import httpx

_UNLIMITED = Limits(bytes=2**40, pixels=2**40)  # the server has its own


class Client:
    """Speaks to a server; may be shared by threads, and closes as a context manager.

    >>> with vesselrt.Client("http://127.0.0.1:8000") as client:
    ...     mask_png = client.encode("photo.jpg", threshold=0.4)
    ...     probability = client.probability("photo.jpg")
    >>> probability.shape
    (320, 288)

    An error of the server is raised as the library would raise it: as VesselrtError where the library has no such
    error, or when no answer comes. A busy server is asked again, up to `retries` times.
    """

    def __init__(
        self, url: str = "http://127.0.0.1:8000", *, api_key: str | None = None, timeout: float = 60.0, retries: int = 5
    ) -> None:
        """`timeout` in s, of each try. Raises MissingExtraError when httpx is not installed."""
        try:
            import httpx
        except ModuleNotFoundError:
            raise errors.MissingExtraError.of("vesselrt.Client", "client") from None
        headers = {"X-API-Key": api_key} if api_key else {}
        self._failure = httpx.HTTPError
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout)
        self._retries = retries

    def probability(
        self,
        image: PhotoSource,
        model: str | None = None,
        scale: float | None = None,
        classes: Names | None = None,
    ) -> Image:
        """(H, W) uint8, 255 × the probability of vessel: every threshold comes out of it.

        Of several classes (C, H, W): of those that are named, None: of all, in the model's order.
        """
        answer = self._predict(image, format="probability", model=model, scale=scale, classes=classes)
        pixels = np.asarray(cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_GRAYSCALE), np.uint8)
        shown = answer.headers.get("x-vesselrt-classes", "").split(",")
        return pixels if len(shown) == 1 else pixels.reshape(len(shown), -1, pixels.shape[1])

    def encode(  # noqa: PLR0913, PLR0917 - one for each option of /predict
        self,
        image: PhotoSource,
        format: OutputFormat = "mask",  # noqa: A002 - the usual word
        threshold: Thresholds | None = None,
        model: str | None = None,
        colour: Colours | None = None,
        opacity: float | None = None,
        scale: float | None = None,
        simplify: float | None = None,
        classes: Names | None = None,
    ) -> bytes:
        """The content of a file, as of `Segmentation.encode`; `image` and `scale` as for `Segmenter.segment`.

        The format "json" tells the warnings and the fields of view too.
        """
        options = {
            "format": format,
            "threshold": threshold,
            "model": model,
            "colour": colour,
            "opacity": opacity,
            "scale": scale,
            "simplify": simplify,
            "classes": classes,
        }
        return self._predict(image, **options).content

    def _predict(self, image: PhotoSource, **options: Any) -> "httpx.Response":
        query = {name: _option_text(value) for name, value in options.items() if value is not None}
        return self._ask("POST", "/predict", params=query, content=Photograph(image, _UNLIMITED).encoded())

    def models(self) -> list[dict[str, Any]]:
        """What is served, the default first."""
        found: list[dict[str, Any]] = self._ask("GET", "/models").json()["models"]
        return found

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, method: str, address: str, **request: Any) -> "httpx.Response":
        answer = self._send(method, address, **request)
        for _ in range(self._retries):
            if answer.status_code != HTTPStatus.SERVICE_UNAVAILABLE:
                break
            time.sleep(_seconds_to_wait(answer.headers.get("retry-after", "")))
            answer = self._send(method, address, **request)
        if answer.is_success:
            return answer
        raise _error_from_answer(answer)

    def _send(self, method: str, address: str, **request: Any) -> "httpx.Response":
        try:
            return self._http.request(method, address, **request)
        except self._failure as error:
            raise errors.VesselrtError(f"no answer from {self._http.base_url}: {error}.") from None


def _option_text(value: Any) -> Any:
    """As a query has it: of single classes artery:0.4,vein:0.6."""
    if isinstance(value, Mapping):
        return ",".join(f"{name}:{given}" for name, given in value.items())
    return value if isinstance(value, str | int | float) else ",".join(value)


def _seconds_to_wait(retry_after: str) -> float:
    """Seconds to wait; 1 for a date, which a proxy may send."""
    return float(retry_after) if retry_after.isdecimal() else 1.0


def _error_from_answer(answer: "httpx.Response") -> errors.VesselrtError:
    try:
        detail = answer.json()["error"]
        kind, message = getattr(errors, detail["type"], errors.VesselrtError), detail["message"]
    except (ValueError, LookupError, TypeError):  # a proxy answered
        kind, message = errors.VesselrtError, f"the server answered {answer.status_code} {answer.reason_phrase}."
    return kind(message) if issubclass(kind, errors.VesselrtError) else errors.VesselrtError(message)
