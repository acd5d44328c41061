"""A checkpoint as a running model: built, filled, swapped in place, writing text."""

from deltaworks.inference.architecture import can_generate
from deltaworks.inference.running import RunningModel, load_model

__all__ = ["RunningModel", "can_generate", "load_model"]
