"""From a photograph to its vessels: decode, prepare, tile, infer, blend, threshold. Knows neither torch nor HTTP."""
