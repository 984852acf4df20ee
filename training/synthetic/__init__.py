"""Photographs of devices that nobody has handed in: simulated cameras, a slit lamp."""
