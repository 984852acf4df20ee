"""Networks of other people, hardly trained, and what becomes of each: the matrix behind docs/tested-networks.md.

`PYTHONPATH=tests python -m zoo` runs those that docs/networks.json does not hold yet, `python -m zoo smp "MONAI UNETR"`
those whose names begin so.
"""
