"""What is a fact about a model and not an algorithm: one definition, carried inside the model file."""

import json
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from vesselrt.runtime.errors import ManifestError

SCHEMA = 2
"""The newest. What 1 can say is written as 1, so that an older vesselrt reads it: one class, of which only the name is
said, and no `preparation.normalise`."""
METADATA_KEY = "vesselrt.manifest"
MOST_CLASSES = 255
"""As many as 8 bits can number."""

Precision = Literal["f32", "bf16", "fp16", "int8"]
Hash = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
"""A SHA-256 in hexadecimal."""
Normalisation = Literal["zscore", "zscore-nonzero", "range"]
"""How the values of a channel are shifted and divided, by what the whole photograph holds: `zscore`, by their mean and
standard deviation; `zscore-nonzero`, the same of the pixels that are not black, and black stays 0; `range`, by the
least and the largest, to 0..1."""
BYTES_A_NUMBER = 3
"""Those that carry a normalised value to the graph."""
_DEFAULT_TOLERANCE: dict[Precision, float] = {"f32": 1e-4, "bf16": 0.3, "fp16": 0.05, "int8": 1.0}
"""Tolerance of a manifest that names none. INT8 moves single pixels at the edges of vessels far: the share that flips
is what is bounded there."""


class Facts(BaseModel):
    """Base of everything that is read from a file: immutable, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Clahe(Facts):
    """Contrast-limited adaptive histogram equalisation, applied to every channel after scaling."""

    clip_limit: Annotated[float, Field(gt=0)]
    grid: Annotated[int, Field(ge=1)]
    """Number of histogram cells along each side of the image."""


_Pixels = Annotated[int, Field(ge=64, le=4096)]


class Preparation(Facts):
    """What the host does to a photograph before the network sees it; training and serving share it."""

    channels: Literal["rgb", "green"] = "rgb"
    """The channels that the network reads, in this order. `green` carries most of a vessel's contrast."""
    field_of_view: _Pixels | tuple[_Pixels, _Pixels] | None = None
    """Diameter in pixels to which the photograph's field of view is scaled; of two, a smaller field is scaled to the
    first and a larger one to the second, and one between them stays as it is; null: native resolution."""
    size: tuple[_Pixels, _Pixels] | None = None
    """Height and width to which the whole photograph is resized, whatever its shape; null: it keeps its shape."""
    clahe: Clahe | None = None
    normalise: Normalisation | None = None
    """Of networks that were trained on photographs which were each normalised by their own values, as nnU-Net does;
    null: by `input` alone. Without a scale the photograph is cut to what is not black before."""

    @model_serializer(mode="wrap")
    def _write_normalise(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = write(self)
        if self.normalise is None:  # so that an older vesselrt reads it
            fields.pop("normalise", None)
        return fields

    @model_validator(mode="after")
    def _has_one_scale(self) -> "Preparation":
        if self.size is not None and self.field_of_view is not None:
            raise ValueError("both size and field_of_view are given: name one")
        if isinstance(self.field_of_view, tuple) and self.field_of_view[0] > self.field_of_view[1]:
            raise ValueError(f"field_of_view {list(self.field_of_view)} must begin with the smaller one")
        return self

    @property
    def largest(self) -> int | None:
        """Pixels of the largest field of view that the network is shown; None: there is no such bound."""
        return self.field_of_view[1] if isinstance(self.field_of_view, tuple) else self.field_of_view

    def diameter(self, native: float) -> float:
        """Pixels to which a field of view of `native` pixels is scaled."""
        if self.field_of_view is None:
            return native
        least, most = self.field_of_view if isinstance(self.field_of_view, tuple) else (self.field_of_view,) * 2
        return float(min(max(native, least), most))


class Input(Facts):
    """The graph's input is (N, C, H, W) uint8, 0 to 255; it computes (value / 255 - mean) / std itself. With
    `preparation.normalise` it is (N, 3 × C, H, W) uint8, the bytes of numbers, of which it computes (number - mean) /
    std: see vesselrt.runtime.photo.normalisation.
    """

    mean: tuple[float, ...]
    """One value a channel, on the scale 0 to 1, or of normalised numbers."""
    std: tuple[Annotated[float, Field(gt=0)], ...]


class Tile(Facts):
    """How a large image is cut for the network, in pixels of the prepared image."""

    size: Annotated[int, Field(ge=16)]
    """Side of the largest window that is run at once."""
    multiple: Annotated[int, Field(ge=1)]
    """Window sides and origins are multiples of this: of the network's total stride at least. A coarser
    one makes for fewer shapes of window, for each of which a backend prepares itself once."""
    margin: Annotated[int, Field(ge=0)]
    """Pixels at an inner window edge that are not used. At or above the network's receptive-field
    radius the tiled result equals the whole-image result."""
    fixed: bool = False
    """True for a network that takes windows of `size` and no other (a positional embedding, say), or was trained in
    them alone. A smaller image lies in the middle of one, among zeros."""
    blend: Literal["exact", "gaussian"] = "exact"
    """`exact`: each pixel comes from one window, margins dropped. `gaussian`: overlapping windows are
    averaged with Gaussian weights, for networks with operations that see the whole window. They are
    evenly spaced, by half of `size` at most."""

    @model_validator(mode="after")
    def _leaves_room(self) -> "Tile":
        if self.size % self.multiple or self.margin % self.multiple:
            raise ValueError(f"size {self.size} and margin {self.margin} must be multiples of {self.multiple}")
        if self.size <= 2 * self.margin:
            raise ValueError(f"size {self.size} must be larger than two margins of {self.margin}")
        return self


class DataSource(Facts):
    """A data set that the weights were trained on."""

    name: str
    split: str
    terms: str
    photographs: tuple[str, ...] = ()
    """The first 16 digits of each file's SHA-256, so that evaluation can tell which photographs a model knows."""


class TilingFigures(Facts):
    """How the result of tiles compares with that of the whole image, in one window. Measured at export."""

    receptive_field: Annotated[int, Field(ge=0)] | None
    """Pixels around a pixel of the result that it depends on. null: more than a quarter of the tile, or the whole
    window."""
    flipped: float | None = None
    """Share of the pixels that lie on the other side of the threshold; of several classes, that of the worst. null:
    photographs fit into one tile, or the network takes windows of one size alone."""
    largest_difference: float | None = None
    """Of probability. A step of 8 bits, 0.004, is rounding."""
    photographs: Annotated[int, Field(ge=0)] = 0
    """Number of those that were measured; 0: a drawn one."""


class Provenance(Facts):
    """Where the model comes from and what was measured on it."""

    recipe: str = ""
    data: tuple[DataSource, ...] = ()
    weights_sha256: str = ""
    commit: str = ""
    metrics: dict[str, dict[str, float]] = {}
    """Data set and split → metric → value, computed through the runtime on this file."""
    parity: dict[str, dict[str, float]] = {}
    """Precision → largest probability difference and flipped pixels, against the PyTorch network; of `fp16` and `int8`,
    against the f32 model file. `auto` takes no precision that has no entry here."""
    tiling: TilingFigures | None = None
    """null: not measured, as in files of older exports."""
    f32_graph_sha256: Hash | None = None
    """Of an INT8 file: of the f32 model file that it was made of, without its manifest."""
    float_operations: tuple[str, ...] = ()
    """Of an INT8 or FP16 file: the convolutions and matrix products that stay in FP32, because INT8 would cost too much
    or values leave the range of FP16."""


class ClassFacts(Facts):
    """One of the classes that a model tells apart. Where it says nothing but its name, that text stands for it."""

    name: Annotated[str, Field(pattern="^[A-Za-z0-9]([A-Za-z0-9 ._-]*[A-Za-z0-9])?$", max_length=40)]
    colour: Annotated[str, Field(pattern="^#[0-9A-Fa-f]{6}$")] | None = None
    """In pictures, such as `#ff2e63`; null: one that is told apart from those of the other classes, by colour-blind
    people too."""
    threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    """Its default operating threshold; null: the model's."""

    @model_validator(mode="before")
    @classmethod
    def _read_name(cls, given: Any) -> Any:
        return {"name": given} if isinstance(given, str) else given

    @model_serializer(mode="wrap")
    def _write_name(self, write: SerializerFunctionWrapHandler) -> Any:
        return self.name if self == ClassFacts(name=self.name) else write(self)


class Manifest(Facts):
    """Everything the runtime needs to know of a model. `provenance` is for people.

    >>> manifest = vesselrt.models()["fundus"]
    >>> manifest.preparation.channels, manifest.threshold
    ('green', 0.5)
    """

    schema_version: Literal[1, 2] = 1
    """1 for one class that only has a name, and a photograph that is not normalised by its own values."""
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    version: Annotated[str, Field(pattern=r"^[!-~]([ -~]*[!-~])?$")]
    """Printable ASCII: answers carry it in a header."""
    licence: str
    description: str
    preparation: Preparation
    input: Input
    precision: Literal["f32", "fp16", "int8"] = "f32"
    """What the graph itself computes in. Its input and output are uint8 and float32 in each."""
    tile: Tile
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    """The default operating threshold on the probability."""
    classes: tuple[ClassFacts, ...] = (ClassFacts(name="vessel"),)
    """One for each channel of the graph's output, in its order; there is no channel of the background."""
    exclusive: bool = False
    """Whether a pixel belongs to one class at most, as with a softmax: of the classes whose probability reaches their
    threshold, to the most probable one, of equals to the first. Else each class has its own mask, and they overlap."""
    tolerance: dict[Precision, Annotated[float, Field(gt=0)]] = {"f32": 1e-4}
    """Largest difference in probability that each precision may show where `Provenance.parity` compares it."""
    provenance: Provenance = Provenance()
    content_sha256: Hash | None = None
    """Of the whole model file, with zeros in place of these 64 digits; what writes the file sets it, and what reads it
    compares. None in files that vesselrt wrote before it knew this, and in engines, which have hashes of their own."""

    @property
    def channel_count(self) -> int:
        """Those of the graph's input."""
        return self.colour_count * (BYTES_A_NUMBER if self.preparation.normalise else 1)

    @property
    def colour_count(self) -> int:
        """Channels of the photograph that the network reads."""
        return 1 if self.preparation.channels == "green" else 3

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(facts.name for facts in self.classes)

    @property
    def class_thresholds(self) -> tuple[float, ...]:
        """The operating threshold of each class."""
        return tuple(self.threshold if facts.threshold is None else facts.threshold for facts in self.classes)

    @model_validator(mode="before")
    @classmethod
    def _choose_schema(cls, fields: Any) -> Any:
        """The version is what its writer has to say, and not the other way round."""
        if not isinstance(fields, dict) or fields.get("schema_version", 1) not in (1, 2):
            return fields
        said = fields.get("classes", ("vessel",))
        only = said[0] if isinstance(said, list | tuple) and len(said) == 1 else None
        only = only.model_dump() if isinstance(only, ClassFacts) else only
        is_simple = isinstance(only, str) or (isinstance(only, dict) and set(only) == {"name"})
        preparation = fields.get("preparation")
        normalise = preparation.get("normalise") if isinstance(preparation, dict) else None
        normalise = preparation.normalise if isinstance(preparation, Preparation) else normalise
        is_simple = is_simple and not fields.get("exclusive") and normalise is None
        return {**fields, "schema_version": 1 if is_simple else 2}

    @model_serializer(mode="wrap")
    def _write_schema(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = write(self)
        if self.schema_version == 1:
            fields.pop("exclusive", None)  # missing where a part of the manifest is asked for
        return fields

    @model_validator(mode="after")
    def _is_consistent(self) -> "Manifest":
        if len(set(self.class_names)) < len(self.classes) or not 1 <= len(self.classes) <= MOST_CLASSES:
            raise ValueError(
                f"classes must be 1 to {MOST_CLASSES} of different names, not: {', '.join(self.class_names)}"
            )
        if not len(self.input.mean) == len(self.input.std) == self.colour_count:
            raise ValueError(f"input.mean and input.std need {self.colour_count} value(s), one a channel")
        return self

    def allowed(self, precision: Precision) -> float:
        """Largest difference in probability that a precision may show."""
        return self.tolerance.get(precision, _DEFAULT_TOLERANCE[precision])

    def to_json(self) -> str:
        return self.model_dump_json()

    @classmethod
    def from_json(cls, text: str, *, source: str) -> "Manifest":
        """Reads a manifest; `source` names the file in error messages.

        Raises ManifestError when `text` is not JSON, is of another schema, or has a wrong field.
        """
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ManifestError(
                f"{source}: the manifest is damaged (not JSON: {error}). Export the model again."
            ) from None
        return cls.from_fields(fields, source=source)

    @classmethod
    def from_fields(cls, fields: Any, *, source: str) -> "Manifest":
        """Checks manifest fields that were read from JSON or YAML. Raises ManifestError."""
        found = fields.get("schema_version", SCHEMA) if isinstance(fields, dict) else None
        if isinstance(found, int) and found > SCHEMA:
            raise ManifestError(
                f"{source}: its manifest has schema {found}, this vesselrt reads up to {SCHEMA}. "
                "Run: pip install -U vesselrt"
            )
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            raise ManifestError(f"{source}: the manifest is not valid: {explain(error)}. Correct it.") from None


def explain(error: ValidationError) -> str:
    """One line that names each wrong field of a validated file and says what is wrong with it."""
    return "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors(include_url=False))
