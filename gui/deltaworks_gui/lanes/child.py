"""The engine's process, from its first line. Nothing of Qt is imported here."""

from __future__ import annotations

import faulthandler
import os
import signal
import traceback
from multiprocessing.connection import Connection

_NICE = 5  # the window gets the core when both want it


def run_engine(connection: Connection, threads: int, gpu: str = "") -> None:
    """Serve jobs until the window says quit or is gone.

    Args:
        connection: the engine's end of the pipe.
        threads: cores to compute on; 0 means all but one.
        gpu: the only GPU that it may see; empty for none.
    """
    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C in a terminal is for the window
    cores = threads or max(1, (os.cpu_count() or 2) - 1)
    os.environ["CUDA_VISIBLE_DEVICES"] = gpu  # read when torch is loaded
    # torch and the BLAS read this when they are loaded.
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(cores)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # waiting threads must sleep, not spin
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    if hasattr(os, "nice"):
        os.nice(_NICE)
    try:
        from deltaworks.studies.serve import serve
    except Exception as error:  # whatever keeps the engine from loading, the window says it
        connection.send(("refused", f"{type(error).__name__}: {error}", traceback.format_exc()))
        return
    serve(connection)
