"""A checkpoint as a running model."""
