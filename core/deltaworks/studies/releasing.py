"""Memory that a job at rest does not need: given back while it is paused."""

from __future__ import annotations

import gc
import sys

from deltaworks.numerics.device_link import current_link


def release_memory(*, keeps_model: bool = False) -> None:
    """Let go of the model that is kept for the next question, of buffers and caches.

    Only of what is loaded: nothing is imported for it.

    Args:
        keeps_model: the job at rest is the one that answers with it.
    """
    generate = sys.modules.get("deltaworks.studies.generate")
    if generate is not None and not keeps_model:
        generate.release()
    link = current_link()
    if link is not None:
        link.release()
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
