"""From a photograph to its vessels: decode, prepare, tile, infer, blend, threshold. Knows neither torch nor HTTP."""

from vesselrt.runtime import telemetry
from vesselrt.runtime.opencv import check_opencv

telemetry.turn_off()  # here, as no module of vesselrt can be imported before this one
check_opencv()
