"""Recipe, plan, run."""

from deltaworks.engine.merge_plan import preflight
from deltaworks.engine.running import plan, run

__all__ = ["plan", "preflight", "run"]
