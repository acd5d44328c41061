"""Everything the product can do: no window, no Qt."""
