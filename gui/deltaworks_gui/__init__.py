"""The window: pages, docks and lanes over the core."""
