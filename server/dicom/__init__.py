"""A node of a hospital's DICOM network: photographs come in, segmentations and reports go out."""
