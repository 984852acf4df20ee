"""Networks as people hand them in."""
