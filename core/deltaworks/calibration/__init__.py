"""Passes that collect what methods ask for: layer inputs, Gram matrices, Fisher information."""

from deltaworks.calibration.costs import GramCost, gram_cost
from deltaworks.calibration.fisher import Fisher, collect_fisher
from deltaworks.calibration.grams import Grams, collect_grams, for_each_block
from deltaworks.calibration.sequences import Sequences, make_sequences
from deltaworks.calibration.store import default_cache
from deltaworks.calibration.texts import Texts, pair_texts, read_texts

__all__ = [
    "Fisher",
    "GramCost",
    "Grams",
    "Sequences",
    "Texts",
    "collect_fisher",
    "collect_grams",
    "default_cache",
    "for_each_block",
    "gram_cost",
    "make_sequences",
    "pair_texts",
    "read_texts",
]
