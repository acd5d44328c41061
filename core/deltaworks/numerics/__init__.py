"""Array mathematics that knows no file and no model."""
