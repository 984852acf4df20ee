"""What the clients send to `vesselrt serve`, and how they understand its answers: no connection is opened here."""

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypedDict

import cv2
import numpy as np

from vesselrt.runtime import errors
from vesselrt.runtime.arrays import Image
from vesselrt.runtime.measures.zones import Disc
from vesselrt.runtime.output.classes import Colours, Names, Thresholds
from vesselrt.runtime.output.formats import OutputFormat
from vesselrt.runtime.photo.decoding import Limits
from vesselrt.runtime.photo.photograph import Photograph, PhotoSource
from vesselrt.runtime.photo.quality import Quality, read_quality

if TYPE_CHECKING:
    import httpx

_UNLIMITED = Limits(bytes=2**40, pixels=2**40)  # the server has its own
_MOST_BATCH_BYTES = 64 * 2**20
"""Of one request: a server takes 256 MiB unless it is told otherwise."""
_NDJSON = "application/x-ndjson"

ClientRequest = dict[str, Any]
"""Arguments of httpx's `stream`."""
MODELS_REQUEST: ClientRequest = {"method": "GET", "url": "/models"}


class PredictOptions(TypedDict, total=False):
    """Options of /predict, as of `Segmentation.encode` and `Segmenter.segment`."""

    format: OutputFormat
    threshold: Thresholds | None
    model: str | None
    colour: Colours | None
    opacity: float | None
    scale: float | None
    frame: int | None
    simplify: float | None
    classes: Names | None
    quality: bool | None
    measure: bool | None
    um_per_px: float | None
    field_angle: float | None
    disc: Disc | None


@dataclass(frozen=True)
class Answer:
    r"""What a server made of a photograph.

    >>> with vesselrt.Client("http://127.0.0.1:8000") as client:
    ...     answer = client.predict("photo.jpg", format="mask")
    >>> answer.content[:4], len(answer.warnings)
    (b'\x89PNG', 1)
    """

    content: bytes
    """Of a file, as of `Segmentation.encode`."""
    warnings: tuple[str, ...]
    """What is doubtful about the photograph, a sentence each, in plain ASCII where it came in a header."""
    quality: Quality | None = None
    """The verdict on the photograph; None where it was not asked for."""


def predict_request(image: PhotoSource, options: PredictOptions) -> ClientRequest:
    """Of one photograph. Raises as `Photograph` where it can't be read."""
    content = Photograph(image, _UNLIMITED).encoded()
    return {"method": "POST", "url": "/predict", "params": _query(options), "content": content}


def _query(options: PredictOptions) -> dict[str, Any]:
    return {name: _option_text(value) for name, value in options.items() if value is not None}


@dataclass
class BatchRequest:
    """Some of many photographs: what goes into one request."""

    options: PredictOptions
    most: int
    """Photographs of one request."""
    places: list[int] = field(default_factory=list)
    """Of the photographs, among all."""
    photographs: list[bytes] = field(default_factory=list)
    unreadable: list[tuple[int, errors.VesselrtError]] = field(default_factory=list)

    @property
    def is_full(self) -> bool:
        return len(self.photographs) == self.most or sum(map(len, self.photographs)) >= _MOST_BATCH_BYTES

    @property
    def request(self) -> ClientRequest:
        files = [("image", (str(place), data)) for place, data in zip(self.places, self.photographs, strict=True)]
        headers = {"Accept": _NDJSON}
        return {
            "method": "POST",
            "url": "/predict/batch",
            "params": _query(self.options),
            "headers": headers,
            "files": files,
        }

    def read_line(self, line: str) -> tuple[int, Answer | errors.VesselrtError]:
        item = json.loads(line)
        place = self.places[item["number"]]
        if "error" in item:
            return place, _error_from_detail(item["error"])
        content = item["content"]
        is_json = item["media_type"].endswith("json")
        body = json.dumps(content, separators=(",", ":")).encode() if is_json else base64.b64decode(content)
        judged = item["quality"]
        quality = judged and Quality(judged["verdict"], tuple(judged["reasons"]))
        return place, Answer(body, tuple(item["warnings"]), quality)


def batch_requests(images: Iterable[PhotoSource], options: PredictOptions, most: int) -> Iterator[BatchRequest]:
    """Of many photographs, read as they are asked for, `most` at once; the last may hold none."""
    batch = BatchRequest(options, most)
    for place, image in enumerate(images):
        try:
            batch.photographs.append(Photograph(image, _UNLIMITED).encoded())
            batch.places.append(place)
        except errors.VesselrtError as error:
            batch.unreadable.append((place, error))
        if batch.is_full:
            yield batch
            batch = BatchRequest(options, most)
    yield batch


def read_answer(answer: "httpx.Response") -> Answer:
    """Of one photograph."""
    warnings = answer.headers.get("x-vesselrt-warnings", "")
    quality = answer.headers.get("x-vesselrt-quality")
    return Answer(answer.content, tuple(warnings.split(" | ")) if warnings else (), quality and read_quality(quality))


def maps_from_answer(answer: "httpx.Response") -> Image:
    """(H, W) of one class, (C, H, W) of several: uint8."""
    pixels = np.asarray(cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_GRAYSCALE), np.uint8)
    shown = answer.headers.get("x-vesselrt-classes", "").split(",")
    return pixels if len(shown) == 1 else pixels.reshape(len(shown), -1, pixels.shape[1])


def no_answer(url: object, error: Exception) -> errors.VesselrtError:
    """In place of what httpx raises."""
    return errors.VesselrtError(f"no answer from {url}: {error}.")


def _option_text(value: Any) -> Any:
    """As a query has it: of single classes artery:0.4,vein:0.6; of a disc x,y,diameter."""
    if isinstance(value, Disc):
        return ",".join(f"{number:g}" for number in (value.x, value.y, value.diameter) if number is not None)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return ",".join(f"{name}:{given}" for name, given in value.items())
    return value if isinstance(value, str | int | float) else ",".join(value)


def seconds_to_wait(answer: "httpx.Response") -> float:
    """Seconds to wait; 1 for a date, which a proxy may send."""
    retry_after = answer.headers.get("retry-after", "")
    return float(retry_after) if retry_after.isdecimal() else 1.0


def error_from_answer(answer: "httpx.Response") -> errors.VesselrtError:
    """As the library would raise it."""
    try:
        return _error_from_detail(answer.json()["error"])
    except (ValueError, LookupError, TypeError):  # a proxy answered
        return errors.VesselrtError(f"the server answered {answer.status_code} {answer.reason_phrase}.")


def _error_from_detail(detail: Mapping[str, Any]) -> errors.VesselrtError:
    kind, message = getattr(errors, detail["type"], errors.VesselrtError), detail["message"]
    return kind(message) if issubclass(kind, errors.VesselrtError) else errors.VesselrtError(message)
