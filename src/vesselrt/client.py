"""A Segmenter on another machine: the same calls, answered by `vesselrt serve`."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from http import HTTPStatus
from types import TracebackType
from typing import TYPE_CHECKING, Any, Unpack

from vesselrt.exchange import (
    MODELS_REQUEST,
    Answer,
    ClientRequest,
    PredictOptions,
    batch_requests,
    error_from_answer,
    maps_from_answer,
    no_answer,
    predict_request,
    read_answer,
    seconds_to_wait,
)
from vesselrt.runtime import errors
from vesselrt.runtime.arrays import Image
from vesselrt.runtime.output.classes import Colours, Names, Thresholds
from vesselrt.runtime.output.formats import OutputFormat
from vesselrt.runtime.photo.photograph import PhotoSource

if TYPE_CHECKING:
    import httpx


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
        httpx = _import_httpx("vesselrt.Client")
        self._http = httpx.Client(base_url=url, headers=_key_header(api_key), timeout=timeout)
        self._failure, self._retries = httpx.HTTPError, retries

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
        options = PredictOptions(format="probability", model=model, scale=scale, classes=classes)
        return maps_from_answer(self._ask(predict_request(image, options)))

    def spread(
        self,
        image: PhotoSource,
        model: str | None = None,
        scale: float | None = None,
        classes: Names | None = None,
    ) -> Image:
        """The same of the standard deviation over the model's members, 255 for 0.5, as `Segmentation.spread`.

        Raises OptionError where the model has one member.
        """
        options = PredictOptions(format="spread", model=model, scale=scale, classes=classes)
        return maps_from_answer(self._ask(predict_request(image, options)))

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

        The format "json" tells the fields of view too.
        """
        options = PredictOptions(
            format=format,
            threshold=threshold,
            model=model,
            colour=colour,
            opacity=opacity,
            scale=scale,
            simplify=simplify,
            classes=classes,
        )
        return self.predict(image, **options).content

    def predict(self, image: PhotoSource, **options: Unpack[PredictOptions]) -> Answer:
        """As `encode`, with the warnings beside the content."""
        return read_answer(self._ask(predict_request(image, options)))

    def predict_batch(
        self, images: Iterable[PhotoSource], at_once: int = 16, **options: Unpack[PredictOptions]
    ) -> Iterator[tuple[int, Answer | errors.VesselrtError]]:
        """Any number of photographs: the place of each in `images`, and its answer or error, as they finish.

        `at_once` go in one request, and are read when it is sent; a server takes 64, if it is not told otherwise. An
        error that is no single photograph's is raised.

        >>> paths = sorted(Path("photos").glob("*.jpg"))
        >>> for place, answer in client.predict_batch(paths, format="mask"):
        ...     if isinstance(answer, vesselrt.VesselrtError):
        ...         print(paths[place], answer)
        ...     else:
        ...         Path("masks", paths[place].stem + ".png").write_bytes(answer.content)
        """
        for batch in batch_requests(images, options, at_once):
            yield from batch.unreadable
            if batch.places:
                with self._opened(batch.request) as answer:
                    for line in answer.iter_lines():
                        yield batch.read_line(line)

    def models(self) -> list[dict[str, Any]]:
        """What is served, the default first."""
        found: list[dict[str, Any]] = self._ask(MODELS_REQUEST).json()["models"]
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

    def _ask(self, request: ClientRequest) -> "httpx.Response":
        with self._opened(request) as answer:
            answer.read()
            return answer

    @contextmanager
    def _opened(self, request: ClientRequest) -> "Iterator[httpx.Response]":
        """A good answer, whose body is still to be read."""
        for left in range(self._retries, -1, -1):
            try:
                with self._http.stream(**request) as answer:
                    if answer.is_success:
                        yield answer
                        return
                    answer.read()
            except self._failure as error:
                raise no_answer(self._http.base_url, error) from None
            if answer.status_code != HTTPStatus.SERVICE_UNAVAILABLE or not left:
                raise error_from_answer(answer)
            time.sleep(seconds_to_wait(answer))


class AsyncClient:
    """`Client` for asyncio: tasks may share it, and it closes as an asynchronous context manager.

    >>> async def ask():
    ...     async with vesselrt.AsyncClient("http://127.0.0.1:8000") as client:
    ...         return await asyncio.gather(client.predict("photo.jpg"), client.probability("photo.jpg"))
    >>> answer, probability = asyncio.run(ask())
    >>> len(answer.content) > 100, probability.shape
    (True, (320, 288))

    Files are read in a thread.
    """

    def __init__(
        self, url: str = "http://127.0.0.1:8000", *, api_key: str | None = None, timeout: float = 60.0, retries: int = 5
    ) -> None:
        """`timeout` in s, of each try. Raises MissingExtraError when httpx is not installed."""
        httpx = _import_httpx("vesselrt.AsyncClient")
        self._http = httpx.AsyncClient(base_url=url, headers=_key_header(api_key), timeout=timeout)
        self._failure, self._retries = httpx.HTTPError, retries

    async def probability(
        self,
        image: PhotoSource,
        model: str | None = None,
        scale: float | None = None,
        classes: Names | None = None,
    ) -> Image:
        """As `Client.probability`."""
        options = PredictOptions(format="probability", model=model, scale=scale, classes=classes)
        return maps_from_answer(await self._ask(await asyncio.to_thread(predict_request, image, options)))

    async def spread(
        self,
        image: PhotoSource,
        model: str | None = None,
        scale: float | None = None,
        classes: Names | None = None,
    ) -> Image:
        """As `Client.spread`."""
        options = PredictOptions(format="spread", model=model, scale=scale, classes=classes)
        return maps_from_answer(await self._ask(await asyncio.to_thread(predict_request, image, options)))

    async def predict(self, image: PhotoSource, **options: Unpack[PredictOptions]) -> Answer:
        """As `Client.predict`."""
        return read_answer(await self._ask(await asyncio.to_thread(predict_request, image, options)))

    async def predict_batch(
        self, images: Iterable[PhotoSource], at_once: int = 16, **options: Unpack[PredictOptions]
    ) -> AsyncIterator[tuple[int, Answer | errors.VesselrtError]]:
        """As `Client.predict_batch`: `async for place, answer in client.predict_batch(paths):`."""
        batches = batch_requests(images, options, at_once)
        while (batch := await asyncio.to_thread(next, batches, None)) is not None:
            for unreadable in batch.unreadable:
                yield unreadable
            if batch.places:
                async with self._opened(batch.request) as answer:
                    async for line in answer.aiter_lines():
                        yield batch.read_line(line)

    async def models(self) -> list[dict[str, Any]]:
        """As `Client.models`."""
        found: list[dict[str, Any]] = (await self._ask(MODELS_REQUEST)).json()["models"]
        return found

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _ask(self, request: ClientRequest) -> "httpx.Response":
        async with self._opened(request) as answer:
            await answer.aread()
            return answer

    @asynccontextmanager
    async def _opened(self, request: ClientRequest) -> "AsyncIterator[httpx.Response]":
        """As `Client._opened`."""
        for left in range(self._retries, -1, -1):
            try:
                async with self._http.stream(**request) as answer:
                    if answer.is_success:
                        yield answer
                        return
                    await answer.aread()
            except self._failure as error:
                raise no_answer(self._http.base_url, error) from None
            if answer.status_code != HTTPStatus.SERVICE_UNAVAILABLE or not left:
                raise error_from_answer(answer)
            await asyncio.sleep(seconds_to_wait(answer))


def _import_httpx(what: str) -> Any:
    try:
        import httpx
    except ModuleNotFoundError:
        raise errors.MissingExtraError.of(what, "client") from None
    return httpx


def _key_header(api_key: str | None) -> dict[str, str]:
    return {"X-API-Key": api_key} if api_key else {}
