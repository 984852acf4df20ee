"""Many photographs on the machines of a Ray cluster: a Segmenter for each GPU, or for each group of cores."""

import logging
import os
import re
import socket
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from vesselrt.runtime.backends import Info
from vesselrt.runtime.devices import AnyPrecision, Device
from vesselrt.runtime.errors import (
    DeviceError,
    ImageDecodeError,
    MissingExtraError,
    OptionError,
    VesselrtError,
    first_line,
)
from vesselrt.runtime.manifest import Manifest
from vesselrt.runtime.photo.decoding import Limits, read_bytes
from vesselrt.runtime.photo.photograph import Frame
from vesselrt.runtime.symmetry import Tta
from vesselrt.runtime.telemetry import turn_off

if TYPE_CHECKING:
    from vesselrt.runtime.segmentation import Segmentation
    from vesselrt.runtime.segmenter import Segmenter

R = TypeVar("R")
P = TypeVar("P", bound=Path | Frame)

_CORES = 4  # of a worker at most, where nothing is said: two with four cores each do more than one with eight
_AT_ONCE = 4  # photographs that a worker works on: decoding one and encoding another overlap with the network
_GIVEN = 2 * _AT_ONCE  # photographs that a worker has at most: the next ones are there when it is done with these
_CONNECTING = 5.0  # s for a connection: Ray itself would try for a minute or two
_PATIENCE = 5.0  # s, after which it is said what is waited for
_RETRIES = 3  # times that a photograph is tried again whose worker ended: by then it is likely that it ends them
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelChoice:
    """What `vesselrt.load` takes, to be loaded in another process."""

    models: tuple[str, ...] = ()
    """Empty: `fundus`."""
    device: Device = "auto"
    precision: AnyPrecision = "auto"
    threads: int | None = None
    tta: Tta = "none"

    def absolute(self) -> "ModelChoice":
        """The same from any folder."""
        here = Path.cwd()
        return replace(self, models=tuple(str(here / one) if (here / one).is_file() else one for one in self.models))

    def load(self) -> "Segmenter":
        """Raises what `vesselrt.load` does."""
        from vesselrt.runtime.segmenter import load

        return load(
            list(self.models) or None, device=self.device, precision=self.precision, threads=self.threads, tta=self.tta
        )


class Cluster:
    """A model that was loaded on every machine of a cluster; `segment_many` is that of a Segmenter.

    >>> with Cluster("local", ModelChoice()) as cluster:                                    # doctest: +SKIP
    ...     for outcome in cluster.segment_many([Path("photo.jpg")], lambda path, result: result.encode("mask")):
    ...         print(outcome if isinstance(outcome, Exception) else len(outcome))
    2140

    vesselrt stands on each machine in the same version, and finds the models and photographs there by the same names:
    on a shared folder, or by their addresses.
    """

    def __init__(self, address: str, choice: ModelChoice) -> None:
        """`address`: `local` (a cluster of this machine alone, that ends with this object), `auto`, HOST:PORT, or
        ray://HOST:PORT.

        Raises MissingExtraError without the extra `ray`; OptionError for an address where no cluster answers; and what
        `vesselrt.load` raises.
        """
        self._ray = _import_ray()
        try:
            _check_reachable(address)
            local: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
            with _told_when_long(lambda: f"waiting for Ray to answer ({address})"):
                self._ray.init(address, log_to_driver=False, logging_level="ERROR", **local)
        except Exception as error:  # noqa: BLE001 - Ray raises plain ones too
            raise OptionError(
                f"no cluster of Ray at {address} ({first_line(error)}). Expected local, auto or HOST:PORT of one."
            ) from None
        try:
            self._workers, needs = self._start_workers(choice)
            with _told_when_long(lambda: self._describe_wait(address, needs)):
                self.manifest, self.info = self._ask_facts()
        except BaseException:
            self.close()
            raise

    def segment_many(
        self,
        photos: Iterable[P],
        then: "Callable[[P, Segmentation], R]",
        *,
        scale: float | None = None,
        quality: bool = True,
    ) -> Generator[R | VesselrtError | OSError]:
        """What `then` makes of each photograph and its result, or the error in its place, in their order.

        `then` is called on the machine that segmented; it and what it gives are pickled. Where a worker ends, be it
        killed, its photographs are given to another. DeviceError stands for one whose workers ended each time.
        """
        shared, source = self._ray.put(then), iter(photos)
        idle = deque(self._workers * _GIVEN)
        begun: deque[tuple[Any, Any]] = deque()
        while True:
            while idle and (photo := next(source, None)) is not None:
                worker = idle.popleft()
                begun.append((worker, worker.segment.remote(photo, photo.absolute(), shared, scale, quality)))
            if not begun:
                return
            worker, reference = begun.popleft()
            try:
                yield self._ray.get(reference)
            except self._ray.exceptions.RayActorError:
                yield DeviceError(f"the workers that segmented it ended, {_RETRIES + 1} times. See the logs of Ray.")
            idle.append(worker)

    def _start_workers(self, choice: ModelChoice) -> tuple[list[Any], dict[str, int]]:
        """A worker for each GPU or group of cores, and what each needs: {"CPU": 4}."""
        machines = [machine["Resources"] for machine in self._ray.nodes() if machine["Alive"]]
        cores = [int(machine.get("CPU", 0)) for machine in machines if machine.get("CPU", 0) >= 1]
        gpus = sum(int(machine.get("GPU", 0)) for machine in machines)
        if choice.device.startswith("cuda") or (choice.device == "auto" and gpus):
            if not gpus:
                raise DeviceError(f"device {choice.device!r}: the cluster has no GPU. Use --device cpu.")
            count, needs = gpus, {"GPU": 1, "CPU": 1}
        else:
            threads = choice.threads or min([_CORES, *cores])
            count, needs = sum(one // threads for one in cores), {"CPU": threads}
            choice = replace(choice, threads=threads)
        if not count:
            if not cores:
                raise OptionError("no machine of the cluster has any cores.")
            raise OptionError(f"threads is {choice.threads}, and no machine of the cluster has as many cores.")
        make = self._ray.remote(_Worker).options(
            max_restarts=-1, max_task_retries=_RETRIES, max_concurrency=_AT_ONCE,
            **{f"num_{kind.lower()}s": number for kind, number in needs.items()},
        )  # fmt: skip
        return [make.remote(choice.absolute()) for _ in range(count)], needs

    def _describe_wait(self, address: str, needs: dict[str, int]) -> str:
        """Why the workers are not there yet: most often, others have the cores."""
        begun = [worker.__ray_ready__.remote() for worker in self._workers]
        ready, missing = self._ray.wait(begun, num_returns=len(begun), timeout=1)
        if not missing:
            return f"waiting for the {len(ready)} workers of the cluster at {address} to load the model"
        total, free = self._ray.cluster_resources(), self._ray.available_resources()
        wanted = " and ".join(f"{number} {kind}" for kind, number in needs.items())
        there = " and ".join(f"{total.get(kind, 0):g} {kind} ({free.get(kind, 0):g} free)" for kind in needs)
        return (
            f"waiting for {len(missing)} of {len(begun)} workers, each of {wanted}: "
            f"the cluster at {address} has {there}"
        )

    def _ask_facts(self) -> tuple[Manifest, Info]:
        """What the workers loaded. Raises their error, OptionError where they would compute in different ways, and
        DeviceError where one could not even begin.
        """
        try:
            answers = self._ray.get([worker.describe.remote() for worker in self._workers])
        except self._ray.exceptions.RayError as error:
            raise DeviceError(
                f"a worker could not begin ({first_line(error)}). Is vesselrt on every machine, in the same version?"
            ) from None
        if errors := [answer for answer in answers if isinstance(answer, Exception)]:
            raise errors[0]
        if len({(info.device, info.precision) for _, info in answers}) > 1:
            ways = ", ".join(sorted({str(info) for _, info in answers}))
            raise OptionError(f"the machines would compute in different ways: {ways}. Name --device and --precision.")
        return answers[0]  # type: ignore[no-any-return]

    def close(self) -> None:
        """Ends the workers, what they are doing included; a cluster that is not `local` stays."""
        self._ray.shutdown()

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Worker:
    """In a process of its own, on any machine. One that was ended begins anew, and loads the model again."""

    def __init__(self, choice: ModelChoice) -> None:
        turn_off()
        self._choice, self._lock = choice, threading.Lock()
        self._segmenter: Segmenter | None = None

    def _loaded(self) -> "Segmenter":
        with self._lock:
            if self._segmenter is None:
                self._segmenter = self._choice.load()
            return self._segmenter

    def describe(self) -> "tuple[Manifest, Info] | VesselrtError | OSError":
        """What was loaded, or why not: raised, Ray would wrap it."""
        try:
            segmenter = self._loaded()
        except (VesselrtError, OSError) as error:
            return error.with_traceback(None)
        return segmenter.manifest, segmenter.info

    def segment(
        self, photo: P, place: P, then: "Callable[[P, Segmentation], R]", scale: float | None, quality: bool
    ) -> "R | VesselrtError | OSError":
        """`photo`: as the caller names it; `place`: the same from any folder."""
        try:
            segmenter = self._loaded()
            with segmenter.working():
                source = place if isinstance(place, Path | Frame) else _fetch_photo(place, segmenter.limits)
                return then(photo, segmenter.segment(source, scale=scale, quality=quality))
        except VesselrtError as error:
            there, named = (str(one.path if isinstance(one, Frame) else one) for one in (place, photo))
            return type(error)(str(error).replace(there, named))
        except OSError as error:
            return error.with_traceback(None)


def _check_reachable(address: str) -> None:
    """Raises OSError for a host and port where nobody listens, and ValueError for such that can't be."""
    named = os.environ.get("RAY_ADDRESS", address) if address == "auto" else address
    found = re.fullmatch(r"(?:ray://)?(\[[^\]]+\]|[^:/\[\]]+):(\d+)", named)
    if found is None:
        return  # local, or what Ray knows better
    host, port = found[1].strip("[]"), int(found[2])
    if not 0 < port < 2**16:
        raise ValueError(f"there is no port {port}")
    socket.create_connection((host, port), _CONNECTING).close()


@contextmanager
def _told_when_long(describe: Callable[[], str]) -> Iterator[None]:
    """Says once what is waited for."""
    timer = threading.Timer(_PATIENCE, lambda: logger.info("%s", describe()))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()  # what it asks of Ray would begin a cluster once this one is left


def _fetch_photo(address: Any, limits: Limits) -> bytes:
    """The content of what is no file of this machine. Raises ImageError."""
    try:
        return read_bytes(address, limits)
    except VesselrtError:
        raise
    except Exception as error:  # noqa: BLE001 - every store has errors of its own
        raise ImageDecodeError(f"{address}: can't be read ({first_line(error)}). Check the address.") from None


def _import_ray() -> Any:
    """Ray with its telemetry turned off. Raises MissingExtraError."""
    turn_off()
    try:
        import ray
    except ModuleNotFoundError:
        raise MissingExtraError.of("--ray", "ray") from None
    return ray
