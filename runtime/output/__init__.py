"""Masks as files: formats, drawings, outlines."""
