"""The models that are served, each from load to close. A file that changed takes over between two photographs."""

import logging
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path, PurePath
from typing import cast
from urllib.parse import urlsplit

from vesselrt.runtime.addresses import is_address
from vesselrt.runtime.devices import AnyPrecision, Device
from vesselrt.runtime.errors import DeviceError, OptionError
from vesselrt.runtime.hardware import usable_cores
from vesselrt.runtime.modelfile import DEFAULT_MODEL, find_model_file, int8_path
from vesselrt.runtime.remote import split_hash
from vesselrt.runtime.segmenter import Segmenter, load
from vesselrt.server.http.errors import NotReadyError
from vesselrt.server.settings import ServerSettings

logger = logging.getLogger(__name__)

ModelSource = Segmenter | Callable[[], Segmenter]
"""A loaded model, or what loads one."""


class State(StrEnum):
    """Of a model, or of the service. FAILED lasts until the model's file changes: it can't be loaded or run."""

    STARTING = "starting"
    READY = "ready"
    FAILED = "failed"
    STOPPED = "stopped"


_WHY_NOT = {
    State.STARTING: "The model is being loaded and warmed up. Try again in a moment.",
    State.FAILED: "The model could not be loaded or run; the server's log says why.",
    State.STOPPED: "The server is shutting down.",
}


def why_not(state: State) -> NotReadyError:
    """Why there is no model to run now."""
    return NotReadyError(_WHY_NOT[state])


@dataclass
class _Loaded:
    """A segmenter and how many photographs are in it; a retired one is closed when the last has left."""

    segmenter: Segmenter
    users: int = 0
    retired: bool = False


class ServedModel:
    """One name. `load`, `refresh` and `close` are called by one thread at a time, `begin` by another, `use` by any."""

    def __init__(self, name: str, source: ModelSource, files: Sequence[Path] = (), *, warm: bool = False) -> None:
        """`files`: to be watched. `warm`: the source is a segmenter that is warm already."""
        self.name, self._files, self._source = name, files, source
        self._lock, self._begun = threading.Lock(), False
        self._stamp = _files_stamp(files)
        self._loaded = _Loaded(source) if isinstance(source, Segmenter) else None
        self.state = State.READY if warm and self._loaded else State.STARTING

    @property
    def segmenter(self) -> Segmenter | None:
        """What is loaded now, to look at; `use` it to run it."""
        return self._loaded.segmenter if self._loaded else None

    @contextmanager
    def use(self) -> Iterator[Segmenter]:
        """The segmenter, which is not closed before the block ends. Raises NotReadyError.

        A device that fails in the block stays so until the process ends: the model is FAILED, and health says so.
        """
        with self._lock:
            loaded = self._loaded
            if loaded is None or self.state is not State.READY:
                raise why_not(self.state)
            loaded.users += 1
        try:
            yield loaded.segmenter
        except DeviceError as error:
            with self._lock:
                if self._loaded is loaded and self.state is State.READY:
                    self.state = State.FAILED
                    logger.error("%s does not run any more: %s", self.name, error)  # noqa: TRY400 - the request's own error has the trace
            raise
        finally:
            with self._lock:
                loaded.users -= 1
                last = loaded.retired and not loaded.users
            if last:
                loaded.segmenter.close()

    def begin(self, loader: Executor) -> None:
        """Has `loader` load the model, unless that was done before."""
        if self.state is State.STARTING and not self._begun:
            self._begun = True
            with suppress(RuntimeError):  # the loader has shut down
                loader.submit(self.load)

    def load(self) -> None:
        """Loads and warms the model, unless it is; `state` says how it went."""
        if self.state is State.STARTING:
            try:
                self.open()
            except Exception:  # an application's own loader, or a library, raises anything; health reports it
                logger.exception("the model could not be loaded or run")
                if self.state is State.STARTING:
                    self.state = State.FAILED

    def open(self) -> float:
        """The same, but raises what hinders it; ms of one photograph."""
        if self._loaded is None:
            self._stamp = _files_stamp(self._files)  # the file may have changed since the server started
            self._loaded = _Loaded(_segmenter_from(self._source))
        milliseconds = self._loaded.segmenter.warm_up()
        if self.state is State.STARTING:
            self.state = State.READY
        return milliseconds

    def refresh(self) -> bool | None:
        """Loads the file again if it changed, the old model serving meanwhile; whether that succeeded.

        A model that had failed serves from then on.
        """
        stamp = _files_stamp(self._files)
        if stamp == self._stamp or stamp is None or self.state not in (State.READY, State.FAILED):
            return None
        self._stamp = stamp  # a file that can't be loaded is not tried again before it changes again
        try:
            segmenter = _segmenter_from(self._source)
            with ExitStack() as undo:
                undo.callback(segmenter.close)
                segmenter.warm_up()
                undo.pop_all()
        except Exception:  # as in `load`; the model that serves must go on
            before = "the model before it goes on serving" if self.state is State.READY else "no model serves"
            logger.exception("%s: the changed file could not be loaded; %s", self.name, before)
            return False
        self._retire(_Loaded(segmenter))
        self.state = State.READY
        logger.info("%s: %s %s serves now", self.name, segmenter.manifest.name, segmenter.manifest.version)
        return True

    def close(self) -> None:
        """Refuses what comes, and closes the model when the last photograph has left it."""
        self.state = State.STOPPED
        self._retire(None)

    def _retire(self, successor: _Loaded | None) -> None:
        with self._lock:
            old, self._loaded = self._loaded, successor
            if old is not None:
                old.retired = True
            unused = old is not None and not old.users
        if old is not None and unused:
            old.segmenter.close()


def models_from_settings(settings: ServerSettings) -> list[ServedModel]:
    """The models that are named, not loaded yet; what is to be fetched is fetched now.

    Several that were given one name are averaged. Raises ModelNotFoundError, ModelError, OptionError when two that were
    not have one.
    """
    models: dict[str, list[str]] = {}
    were_given: set[str] = set()
    for given in settings.models or (DEFAULT_MODEL,):
        name, model, was_given = _split_name(given)
        if name in models and not (was_given and name in were_given):
            raise OptionError(f"two models are named {name}. Name them apart: --model A={model} --model B=...")
        models.setdefault(name, []).append(model)
        were_given |= {name} if was_given else set()
    threads = settings.threads or max(1, usable_cores() // settings.workers)

    def load_named(named: list[str]) -> Segmenter:
        device, precision = cast(Device, settings.device), cast(AnyPrecision, settings.precision)
        segmenter = load(
            named, device=device, precision=precision, threads=threads, limits=settings.limits, tta=settings.tta
        )
        return segmenter.shared()

    return [
        ServedModel(name, partial(load_named, named), [find_model_file(model) for model in named])
        for name, named in models.items()
    ]


_NAME = re.compile(r"[A-Za-z0-9._-]+")


def _split_name(given: str) -> tuple[str, str, bool]:
    """Name and model, and whether the name was given, as NAME=MODEL; else it is the file's. Raises OptionError."""
    name, separator, model = given.partition("=")
    was_given = separator != "" and not re.search(r"[/#]", name)  # paths and addresses may hold = too
    if not was_given:
        model, (place, _) = given, split_hash(given)
        file = PurePath(urlsplit(place).path if is_address(place) else place).name
        name = re.split("[.@]", file)[0]  # fundus@1.2.0 is a version of fundus
    if not _NAME.fullmatch(name):
        raise OptionError(f"a model's name is {name!r}. Expected letters, digits, dots and dashes: NAME=MODEL.")
    return name, model, was_given


def _segmenter_from(source: ModelSource) -> Segmenter:
    return source if isinstance(source, Segmenter) else source()


def _files_stamp(files: Sequence[Path]) -> tuple[int, ...] | None:
    """What changes when a model file, or the INT8 one beside it, is written or replaced; None where one is missing."""
    if not files or not all(file.is_file() for file in files):
        return None
    stamp: list[int] = []
    for path in (*files, *map(int8_path, files)):
        with suppress(OSError):
            status = path.stat()
            stamp += (status.st_ino, status.st_size, status.st_mtime_ns)
    return tuple(stamp)
