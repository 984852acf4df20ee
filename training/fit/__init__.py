"""From recipe and photographs to trained weights."""
