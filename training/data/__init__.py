"""Photographs and what is known of their vessels: layouts, masks, annotations, splits.

This is the only reader of data sets in the project. `finding.list_samples` gives the samples of a split,
`samples.Sample` reads the photograph and the truth of one. `layouts` tells which layouts it knows.
"""
