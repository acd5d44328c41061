"""A full model out of whatever can be opened: an expert of a package, an adapter, a delta file."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from deltaworks.checkpoints import open_checkpoint
from deltaworks.checkpoints.writer import ModelWriter
from deltaworks.progress import JobControl, Progress


def materialise(path: str, target: Path, control: JobControl, *, base: str = "") -> int:
    """Write every tensor of a checkpoint into a new folder.

    Args:
        path: ``package#expert``, ``package#a=0.5+b=0.5``, or any other checkpoint.
        target: folder; must not exist.
        control: progress and Stop.
        base: what the checkpoint stands on, where it needs one.

    Returns:
        Bytes of the tensors.

    Raises:
        AppError: it cannot be opened or written; nothing is left behind.
    """
    with ExitStack() as open_files:
        below = open_files.enter_context(open_checkpoint(base)) if base else None
        model = open_files.enter_context(open_checkpoint(path, base=below))
        infos = [model.info(name) for name in model.names]
        writer = ModelWriter(target, infos, side_files=dict(model.side_files))
        total, done = model.nbytes, 0
        try:
            for info in infos:
                control.step(Progress(done, total, info.name))
                writer.write(info.name, model.read_words(info.name))
                model.release(info.name)
                done += info.nbytes
            writer.commit(control.silent())
        except BaseException:
            writer.abort()
            raise
        control.report(Progress(total, total, "done"))
        return total
