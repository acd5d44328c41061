"""Canvases that make the core's figures live."""
