"""Passes that collect what methods ask for: layer inputs, Gram matrices, Fisher information."""
