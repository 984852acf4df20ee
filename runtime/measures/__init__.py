"""Measurements of vessels: from masks to figures for studies. Needs the extra `measure`."""
