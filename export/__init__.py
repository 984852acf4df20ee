"""From a trained network to a model file, each step proven against the one before."""
