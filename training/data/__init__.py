"""Photographs and what is known of their vessels: layouts, masks, annotations, splits.

This is the only reader of data sets in the project. `finding.find` gives the samples of a split, `samples.Sample` reads
the photograph and the truth of one. The layouts that it knows, and where each is from: `layouts`.
"""
