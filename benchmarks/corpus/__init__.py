"""Files whose pixels are known, or whose damage, or whose cost: what a decoder of photographs is measured by."""
