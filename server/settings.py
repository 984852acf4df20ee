"""What an operator may set: by argument, environment variable, secret file or TOML file; the first of them counts."""

import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from vesselrt.runtime.errors import OptionError
from vesselrt.runtime.photo.decoding import PHOTO_FORMATS, Limits, PhotoFormat
from vesselrt.runtime.symmetry import Tta

_PREFIX = "VESSELRT_"
_OTHERS = ("config", "secrets", "cache", "cache_mb", "model_folder", "offline")
"""Variables of this prefix that are no settings of the server."""
CommaSeparated = Annotated[tuple[str, ...], NoDecode]
"""In an environment variable: separated by commas."""


class ServerSettings(BaseSettings):
    """Address, models and limits of a server. Raises OptionError for a value that is none, and an unknown name.

    `port` is also the environment variable VESSELRT_PORT; the line `port = 9000` of the TOML file that
    VESSELRT_CONFIG names; or the file `vesselrt_port` in the folder that VESSELRT_SECRETS names, for what is secret.
    """

    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True, extra="forbid", hide_input_in_errors=True)

    host: str = "127.0.0.1"
    """The address to listen on; "0.0.0.0" for all of IPv4, "::" for IPv6."""
    port: int = Field(8000, ge=0, le=65535)
    """0: any free port."""
    admin_port: int | None = Field(None, ge=1, le=65535)
    """A second port, for /health and /metrics alone and without the key: it answers when all connections are taken."""
    grpc_port: int | None = Field(None, ge=1, le=65535)
    """A further port, for clients of the Open Inference Protocol that speak gRPC. It needs the extra `grpc`."""
    socket: Path | None = None
    """A Unix socket to listen on instead of host and port; the rights of its folder say who may use it."""
    workers: int = Field(1, ge=1)
    """Processes behind the one address. Each loads the models; processor cores are shared out among them."""

    models: CommaSeparated = ()
    """Built-in models, model files, engine files or https addresses, each NAME=MODEL or MODEL alone; the first answers
    where a request names none. MODEL#sha256=... is the file of that hash, which an address needs. Several under one
    NAME are averaged. Empty: `fundus`."""
    lazy: bool = False
    """Whether models after the first are loaded when they are first asked for."""
    reload: float = Field(0.0, ge=0)
    """s between looks at the model files; one that changed is loaded and takes over between photographs. 0: never."""
    device: str = "auto"
    precision: str = "auto"
    tta: Tta = "none"
    """flips or d4: each model sees a photograph 4 or 8 times, flipped and turned, and its maps are averaged. That takes
    as many times as long."""
    quality: bool = True
    """Whether photographs are judged (good, usable, reject) and warned of where a request doesn't say. false: for those
    of ultra-wide-field cameras."""
    threads: int | None = Field(None, ge=1)
    """Processor cores of each worker; None: the usable ones, divided by the workers."""

    max_bytes: int = Field(Limits.bytes, ge=1)
    """Size of a photograph's file, and of the body of a request for one."""
    max_batch_bytes: int = Field(256 * 2**20, ge=1)
    """Size of the body of a batch."""
    max_batch: int = Field(64, ge=1)
    """Photographs in a batch."""
    max_pixels: int = Field(Limits.pixels, ge=1)
    """Width × height of a photograph, checked before it is decoded."""
    formats: Annotated[tuple[PhotoFormat, ...], NoDecode, Field(min_length=1)] = PHOTO_FORMATS
    """Of photographs: what need not be accepted need not be decoded."""
    max_memory: int | None = Field(None, ge=1)
    """Bytes that the requests of a worker hold all together: bodies, pixels, maps, answers until they are read; what
    comes beyond is refused at once with 503. None: 3 GiB, or where that is less, a worker's share of half of what the
    machine, container or control group has."""
    maps_bytes: int = Field(64 * 2**20, ge=0)
    """Probability maps of photographs that were just analysed, kept for the next format or threshold; 0: none."""
    maps_seconds: float = Field(300.0, gt=0)
    """s for which such a map is kept."""
    max_connections: int = Field(512, ge=1)
    """Open connections of a worker; the next gets 503. Fewer where the system allows fewer open files."""
    in_flight: int | None = Field(None, ge=1)
    """Photographs worked on at once by a worker. None: on a processor one for each of its cores, up to 4 (one that is
    alone has all cores); as many as there are cores before a GPU, which computes one while the processor decodes the
    next ones."""
    queue: int = Field(16, ge=0)
    """Photographs that may wait beside those; the next is refused at once with 503."""

    deadline: float = Field(60.0, gt=0)
    """s from the end of a request's body to its answer, or of each photograph of a batch; else 503. The header
    X-Request-Timeout asks for less, of a batch for all of it."""
    decode_seconds: float = Field(3.0, gt=0)
    """s of the processor in which a photograph must be decoded (Linux, where this has processes of its own)."""
    header_timeout: float = Field(10.0, gt=0)
    """s for the head of a request."""
    body_timeout: float = Field(60.0, gt=0)
    """s for the body of a request."""
    write_timeout: float = Field(30.0, gt=0)
    """s in which a client takes a quarter of an answer, or of each photograph's in a batch."""
    drain: float = Field(30.0, gt=0)
    """s for which requests are finished after SIGTERM."""

    api_key: SecretStr | None = None
    """What clients send as X-API-Key, or Authorization: Bearer. None: everybody is served."""
    cors_origins: CommaSeparated = ()
    """Web sites whose pages may call this server, such as "https://pacs.example"; "*" for all."""
    frame_ancestors: CommaSeparated = ()
    """Web sites that may show the page in a frame, such as "https://pacs.example"; empty: none."""
    root_path: str = ""
    """Where a proxy puts the server and leaves that in the address, such as "/vessels". A proxy that takes it away
    says so in X-Forwarded-Prefix."""

    def __init__(self, **given: Any) -> None:
        try:
            super().__init__(**given)
        except ValidationError as error:
            places = [e["loc"] for e in error.errors()]
            # Of a list that has a wrong word pydantic says too that it is too short without it.
            first = [e for e in error.errors() if not any(p[: len(e["loc"])] == e["loc"] != p for p in places)]
            raise OptionError(" ".join(map(_setting_error, first))) from None
        except SettingsError as error:
            raise OptionError(f"{error}.") from None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, environment, secrets, file."""
        sources = [init_settings, env_settings]
        if secrets := os.environ.get(f"{_PREFIX}SECRETS"):
            if not Path(secrets).is_dir():
                raise OptionError(f"{secrets}: no such folder. {_PREFIX}SECRETS names it.")
            sources.append(SecretsSettingsSource(settings_cls, secrets))
        if file := os.environ.get(f"{_PREFIX}CONFIG"):
            sources.append(InitSettingsSource(settings_cls, _read_toml(Path(file))))
        return tuple(sources)

    @field_validator("models", "cors_origins", "frame_ancestors", "formats", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return [word.strip() for word in value.split(",") if word.strip()] if isinstance(value, str) else value

    @field_validator("api_key")
    @classmethod
    def _worth_its_name(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < 16:
            raise ValueError("at least 16 characters, such as those of: openssl rand -hex 16")
        return value

    @field_validator("frame_ancestors")
    @classmethod
    def _web_sites(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(re.fullmatch(r"https?://[A-Za-z0-9.*:\[\]-]+", site) for site in value):
            raise ValueError("web sites, such as https://pacs.example")
        return value

    @field_validator("root_path")
    @classmethod
    def _folder(cls, value: str) -> str:
        path = value.rstrip("/")
        if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)*", path):
            raise ValueError("the beginning of a path, such as /vessels")
        return path

    @property
    def limits(self) -> Limits:
        """The same limits as the runtime's decoder wants them."""
        return Limits(bytes=self.max_bytes, pixels=self.max_pixels, formats=self.formats)

    @classmethod
    def unknown(cls) -> list[str]:
        """Variables, and files of secrets, that are named like settings and are none: a key misspelt is no key."""
        known = {f"{_PREFIX}{name}".lower() for name in (*cls.model_fields, *_OTHERS)}
        names = [name for name in os.environ if name.startswith(_PREFIX)]
        if secrets := os.environ.get(f"{_PREFIX}SECRETS"):
            names += [file.name for file in Path(secrets).iterdir() if not file.name.startswith(".")]
        # An orchestrator may announce a service of this name: VESSELRT_SERVICE_HOST, VESSELRT_PORT_8000_TCP.
        announced = re.compile(rf"{_PREFIX}(SERVICE|PORT)_")
        return sorted(name for name in names if name.lower() not in known and not announced.match(name))

    def described(self) -> tuple[list[str], list[str]]:
        """Lines `name = value` of what was set, and of the defaults; of a secret only that it is set."""
        given: list[str] = []
        usual: list[str] = []
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            line = f"{name} = set" if isinstance(value, SecretStr) else f"{name} = {value!r}"
            (usual if value == field.default else given).append(line)
        return given, usual


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise OptionError(f"{file}: can't be read as TOML ({reason}). {_PREFIX}CONFIG names it.") from None


def _setting_error(error: Any) -> str:
    """One error of pydantic as a sentence; what is secret is not repeated."""
    name = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        return f"there is no setting {name}. Expected one of: {', '.join(ServerSettings.model_fields)}."
    expected = error["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    came = "too short" if name == "api_key" else repr(error["input"])
    return f"{name} is {came}. Expected {expected}."
