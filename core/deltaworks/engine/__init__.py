"""Recipe, plan, run."""

from deltaworks.engine.running import plan, run

__all__ = ["plan", "run"]
