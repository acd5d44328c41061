"""How good is a result: weights, logits, perplexity, tasks. Every number says on what."""

from deltaworks.evaluation.evaluator import FULL, SWEEP, Effort, Evaluator
from deltaworks.evaluation.measures import Measure
from deltaworks.evaluation.quality import Quality
from deltaworks.evaluation.suite import Suite, load_suite

__all__ = ["FULL", "SWEEP", "Effort", "Evaluator", "Measure", "Quality", "Suite", "load_suite"]
