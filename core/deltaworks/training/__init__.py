"""Short fits with exact resume: scales, factors, networks, heads."""
