"""What a DICOM file tells beside the pixels of a photograph."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Origin:
    """The DICOM instance that a photograph came from. Its text and its `repr` name no patient."""

    frame: int
    """Which of its photographs, from 1."""
    frames: int
    laterality: str | None = None
    """R (right eye), L (left) or B (both)."""
    um_per_px: float | None = None
    """Micrometres of the retina in a pixel."""
    field_angle: float | None = None
    """Degrees that the photograph shows from left to right."""
    identity: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Patient, study, series and instance, by DICOM's keywords: what a result that is DICOM too has to repeat. For
    nothing else: no message, log or file name holds any of it.
    """

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> "Origin":
        """What `dataclasses.asdict` made of one. Raises TypeError for other fields."""
        return cls(**fields)

    def describe(self) -> dict[str, str | int | float]:
        """What is known, for JSON: no patient's name, no identifier."""
        told: dict[str, str | int | float | None] = {
            "frame": self.frame,
            "frames": self.frames,
            "laterality": self.laterality,
            "um_per_px": self.um_per_px,
            "field_angle": self.field_angle,
        }
        return {name: value for name, value in told.items() if value is not None}
