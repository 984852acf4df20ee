"""The members of a Segmenter: each of its networks, shown the photograph as it is and as flips and turns lay it.

The whole prepared picture is turned, and not its windows: a picture on its side is cut like any other picture, so the
windows may have any shape, and each member gives exactly what it gives to such a photograph. Turning copies nothing.

Networks that want the photograph prepared in one way are averaged at that scale, before anything is enlarged or cut at
a threshold. Where they want it prepared in several ways, every map is first brought to the photograph's own size.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from vesselrt.runtime import tiling
from vesselrt.runtime.arrays import Image
from vesselrt.runtime.averaging import MOST_MAPS, average_maps
from vesselrt.runtime.backends import Backend, Info
from vesselrt.runtime.backends.cores import SharedCores
from vesselrt.runtime.ensemble import join_infos, join_manifests
from vesselrt.runtime.errors import OptionError
from vesselrt.runtime.manifest import Manifest, Preparation
from vesselrt.runtime.photo.placing import place_maps, scaled_part
from vesselrt.runtime.photo.preparation import Prepared, Views
from vesselrt.runtime.photo.views import Box, whole
from vesselrt.runtime.symmetry import Symmetry, Tta, symmetries_of


class Network:
    """A model that is loaded. Owns its backend."""

    def __init__(self, manifest: Manifest, backend: Backend) -> None:
        self.manifest, self.backend = manifest, backend
        self.cores = SharedCores(backend)

    def infer(self, view: Prepared, symmetry: Symmetry, part: Box | None, photographs: int) -> Image:
        """The map of a view, as this symmetry shows it to the network: (C, h, w) uint8.

        `part`: of the photograph, the only one that is to be used. `photographs`: how many are in work now.
        """
        tile, classes, pixels = self.manifest.tile, len(self.manifest.classes), symmetry.turn(view.pixels)
        with self.cores.backend_for(photographs) as backend:
            if part is None:
                found = tiling.infer_tiles(pixels, tile, backend.infer, backend.batch, classes)
            else:
                height, width, _ = view.pixels.shape
                box = symmetry.turn_box(scaled_part(view, part), (height, width))
                found = tiling.infer_part(pixels, box, tile, backend.infer, backend.batch, classes)
        return symmetry.turn_back(found)


Look = Callable[[Network, Symmetry, Prepared], Image]
"""What one member says of a view."""


@dataclass(frozen=True, eq=False)
class Averages:
    """What the members say together, at the scale at which they looked."""

    means: list[Image]
    """Of each field of view (C, h, w) uint8."""
    spreads: list[Image]
    """Likewise, as of `average_maps`; empty where there is one member."""
    boxes: list[Box]
    """The parts of the photograph that these show."""

    def place(self, shape: tuple[int, int], part: Box | None) -> tuple[Image, Image | None]:
        """Mean and spread at the photograph's own size, `shape`: (H, W) uint8, of several classes (C, H, W); 0 outside
        the boxes and `part`.
        """

        def place(maps: list[Image]) -> Image:
            whole = place_maps(maps, self.boxes, shape, part)
            return whole[0] if len(whole) == 1 else whole

        return place(self.means), place(self.spreads) if self.spreads else None


class Members:
    """Networks × symmetries, whose maps are averaged."""

    def __init__(self, networks: Sequence[Network], tta: Tta = "none") -> None:
        """Owns the networks. Raises OptionError for models that don't go together, or too many of them."""
        self.networks, self.tta = tuple(networks), tta
        self._symmetries = symmetries_of(tta)
        self.count = len(self.networks) * len(self._symmetries)
        if self.count > MOST_MAPS:
            raise OptionError(f"{self.count} maps are to be averaged. Expected {MOST_MAPS} at most: name fewer models.")
        self.manifest = join_manifests([network.manifest for network in self.networks])

    @property
    def info(self) -> Info:
        """What runs the networks, and how many maps are averaged."""
        infos = [network.backend.info for network in self.networks]
        return infos[0] if self.count == 1 else join_infos(infos, self.count)

    @property
    def at_once(self) -> int:
        """Photographs in work at once that gain by it, where the networks run on a processor."""
        return max(network.cores.most for network in self.networks)

    @cached_property
    def preparations(self) -> tuple[Preparation, ...]:
        """The different ways in which the networks want a photograph prepared."""
        return tuple(dict.fromkeys(network.manifest.preparation for network in self.networks))

    @property
    def finest(self) -> Preparation:
        """The one of them that needs the photograph decoded finest."""
        return max(self.preparations, key=lambda preparation: preparation.largest or float("inf"))

    def infer(
        self, views: Sequence[Views], part: Box | None, photographs: Callable[[], int], check: Callable[[], None]
    ) -> Averages:
        """`views`: the photograph prepared in each of `preparations`, in their order. `check` is called before each
        map, and raises what ends the work; the others are as for `Network.infer`.
        """

        def look(network: Network, symmetry: Symmetry, view: Prepared) -> Image:
            check()
            return network.infer(view, symmetry, part, photographs())

        if len(views) == 1:
            boxes = [view.box for view in views[0].prepared]
            averaged = [average_maps(self._scaled_maps(view, look), self.count) for view in views[0].prepared]
        else:
            boxes = [whole(views[0].shape).box]
            averaged = [average_maps(self._placed_maps(views, part, look), self.count)]
        spreads = [one.spread for one in averaged if one.spread is not None]
        return Averages([one.mean for one in averaged], spreads, boxes)

    def close(self) -> None:
        """Frees the networks. No `infer` may be running."""
        for network in self.networks:
            network.cores.close()

    def _scaled_maps(self, view: Prepared, look: Look) -> Iterator[Image]:
        """Of each member, at the scale of the view: (C, h, w) uint8."""
        for network in self.networks:
            for symmetry in self._symmetries:
                yield look(network, symmetry, view)

    def _placed_maps(self, views: Sequence[Views], part: Box | None, look: Look) -> Iterator[Image]:
        """Of each member, at the photograph's own size: (C, H, W) uint8."""
        for network in self.networks:
            own = views[self.preparations.index(network.manifest.preparation)]
            for symmetry in self._symmetries:
                scaled = [look(network, symmetry, view) for view in own.prepared]
                yield place_maps(scaled, [view.box for view in own.prepared], own.shape, part)
