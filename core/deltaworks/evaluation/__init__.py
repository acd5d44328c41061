"""How good is a result."""
