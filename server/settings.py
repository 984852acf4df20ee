"""What an operator may set."""

from dataclasses import dataclass

from vesselrt.runtime.decode import Limits
from vesselrt.runtime.errors import OptionError


@dataclass(frozen=True)
class Settings:
    """Limits and address of one server process. Raises OptionError for a value out of range."""

    host: str = "127.0.0.1"
    """The address to listen on; "0.0.0.0" for all of IPv4, "::" for IPv6."""
    port: int = 8000
    """0: any free port."""
    max_bytes: int = Limits.bytes
    """Size of a request's body. The body is held in memory, so this × requests is what uploads may take."""
    max_pixels: int = Limits.pixels
    """Width × height of a photograph, checked before it is decoded."""
    in_flight: int = 1
    """Photographs worked on at once. On a processor one inference already uses every core."""
    queue: int = 16
    """Photographs that may wait beside those; the next is refused at once with 503."""

    def __post_init__(self) -> None:
        for name, least in (("max_bytes", 1), ("max_pixels", 1), ("in_flight", 1), ("queue", 0), ("port", 0)):
            if (value := getattr(self, name)) < least:
                raise OptionError(f"{name} is {value}. Expected {least} or more.")
        if self.port > 65535:
            raise OptionError(f"port is {self.port}. Expected 0 to 65535.")

    @property
    def limits(self) -> Limits:
        """The same limits as the runtime's decoder wants them."""
        return Limits(bytes=self.max_bytes, pixels=self.max_pixels)
