"""The bytes of a photograph → pixels → field of view and scale: the only decoder in the project."""
