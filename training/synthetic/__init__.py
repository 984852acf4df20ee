"""Photographs that were never taken: simulated fundus cameras, and drawn slit-lamp photographs."""
