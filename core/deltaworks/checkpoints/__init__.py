"""Named tensors on disk: open, describe, write, verify."""
