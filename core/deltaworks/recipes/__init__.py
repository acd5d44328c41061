"""A job as a document."""
