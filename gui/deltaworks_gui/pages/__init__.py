"""One page and its controller a file."""
