"""From annotated photographs to weights and figures: data sets, cameras, networks, the loop, evaluation."""
