"""One pass over a text that feeds every measure at once."""

from __future__ import annotations

from deltaworks.evaluation.counting import TextBatch
from deltaworks.evaluation.measures import Measure
from deltaworks.evaluation.reference import Reference, window_scores
from deltaworks.evaluation.table import AGAINST_EXPERT, ALONE
from deltaworks.evaluation.windows import Windows
from deltaworks.inference.running import RunningModel
from deltaworks.progress import JobControl


def measure_text(
    running: RunningModel, windows: Windows, reference: Reference | None, control: JobControl
) -> dict[str, Measure]:
    """Measure the model's present weights.

    Args:
        running: the model.
        windows: the text.
        reference: the expert's scores; without them only what a model shows alone.
        control: Stop is taken between batches.

    Returns:
        Measures by id; empty when the text has no token to predict.
    """
    kinds = ALONE if reference is None else (*AGAINST_EXPERT, *ALONE)
    counters = [kind() for kind in kinds]
    for index, (_, targets) in enumerate(windows.batches):
        control.check()
        scores = window_scores(running, windows, index)
        experts = reference.batch(index) if reference else [None] * len(scores)
        rows = zip(targets.to(running.device), windows.skips[index], scores, experts, strict=True)
        for row, skip, ours, theirs in rows:
            batch = TextBatch(row[skip:], ours, theirs)
            for counter in counters:
                counter.add(batch)
    if windows.n == 0:
        return {}
    measures = [counter.measure(windows.data) for counter in counters]
    return {measure.id: measure for measure in measures}
