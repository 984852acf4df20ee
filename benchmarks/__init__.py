"""Measurements of the runtime, alone and beside what a user would do without it."""
