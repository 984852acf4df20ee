"""vesselrt."""
