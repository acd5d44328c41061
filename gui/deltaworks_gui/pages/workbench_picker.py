"""The method picker: classes as headings, what each method needs and costs as its tip."""

from __future__ import annotations

from deltaworks.methods.merging.taxonomy import CLASSES, members, needs_text, repeats_text
from deltaworks.methods.merging_record import MergingMethod
from deltaworks.methods.method import Method
from deltaworks_gui.pages.workbench_state import WorkbenchState
from deltaworks_gui.pages.workbench_words import tr
from deltaworks_gui.widgets.grouped_choice import ChoiceGroup


def method_groups(state: WorkbenchState) -> tuple[ChoiceGroup, ...]:
    """Merges by the survey's classes; other methods as one list without a heading."""
    if state.operation != "merge":
        choices = tuple((one.id, one.title) for one in state.kind.methods.values())
        return (ChoiceGroup("", "", choices),)
    return tuple(
        ChoiceGroup(tr(one.title), tr(one.idea), choices)
        for group, one in CLASSES.items()
        if (choices := tuple((method.id, method.title) for method in members(group)))
    )


def method_tip(method: Method, lacks: str) -> str:
    """What it does, what it lacks, what it needs and costs, where it is from."""
    lines = [method.summary]
    if lacks:
        lines.append(tr("Cannot run yet: needs {0}.").format(lacks))
    if isinstance(method, MergingMethod):
        lines.append(tr("Needs: {0}").format(needs_text(method)))
        lines.append(tr("Work on a matrix: {0}").format(method.cost))
        lines.append(tr("Repeatable: {0}").format(repeats_text(method)))
    lines.append(tr("Source: {0}").format(method.source))
    return "\n".join(lines)
