"""A network's graph → a model file that is proven against the network before it appears: the same for every source."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from vesselrt.export.head import Head
from vesselrt.export.modelfile import write_model_file
from vesselrt.export.parity import NOT_WRITTEN, DiffersError, Reference, WindowError, check_parity
from vesselrt.export.tiles import Draft, choose_tile, settle_tile, with_fixed_tile
from vesselrt.export.wrapping import NetworkGraph, check_end, wrap_graph
from vesselrt.runtime.arrays import Image
from vesselrt.runtime.errors import ExportError
from vesselrt.runtime.files import atomic_write
from vesselrt.runtime.manifest import Manifest

logger = logging.getLogger(__name__)

Trace = Callable[[Manifest], NetworkGraph]
"""Makes the graph of a network, for windows as a manifest describes them. Raises WindowError where that works in one
size alone."""


def write_proven(
    trace: Trace,
    reference: Reference,
    head: Head,
    draft: Draft,
    path: Path,
    photographs: list[Image],
) -> Manifest:
    """Writes the model file, and returns its manifest with the figures of parity and tiles in it.

    Several classes out of one softmax are written as exclusive. A file that runs in windows of one size alone, or is
    exact in one alone, is written with a fixed tile, and a warning says so.

    Raises ExportError when the manifest does not fit the network, or the file differs from it by more than the
    manifest's tolerance; then nothing is written.
    """
    manifest = _checked(draft.manifest, head)
    draft, reach = settle_tile(replace(draft, manifest=manifest), reference)

    def write(draft: Draft) -> Manifest:
        manifest = draft.manifest
        network = trace(manifest)
        check_end(network.model, head)
        model = wrap_graph(network, manifest, head)
        with atomic_write(path) as name:
            write_model_file(model, manifest, name)
            parity = check_parity(reference, head, manifest, name, photographs)
            manifest = choose_tile(name, draft, reach, photographs)
            provenance = manifest.provenance.model_copy(update={"parity": parity})
            return write_model_file(model, manifest.model_copy(update={"provenance": provenance}), name)

    try:
        return write(draft)
    except (WindowError, DiffersError) as error:  # a graph may hold constants of the size that it was traced at
        tile = draft.manifest.tile
        if tile.fixed:
            raise
        try:
            written = write(with_fixed_tile(draft))
        except (WindowError, DiffersError):
            raise error from None  # the size was not what was wrong
        told = str(error).removesuffix(NOT_WRITTEN)
        logger.warning("%s The tile is fixed, at %d pixels.", told, tile.size)
        return written


def _checked(manifest: Manifest, head: Head) -> Manifest:
    """With what follows from the network's output. Raises ExportError where the two contradict each other."""
    if manifest.precision != "f32":
        raise ExportError(
            f"the manifest says {manifest.precision}, and export writes f32. Say f32, then: vesselrt convert"
        )
    several = len(manifest.classes) > 1
    if head.shift and (head.output == "probability" or several):
        raise ExportError(f"a calibration of {head.shift:+.3f} is for the logits of one class.")
    if head.output == "softmax" and several:
        manifest = manifest.model_copy(update={"exclusive": True})
    return manifest
