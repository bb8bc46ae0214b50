"""The table that is printed."""

from __future__ import annotations

from rayred.report.table import format_table
from rayred.verdict import Cell, Verdict

FULL = Cell(
    "full",
    1.0,
    50_000,
    5,
    0,
    mean=92.5,
    deviation=0.2,
    worst_class="cat",
    worst_class_accuracy=81.25,
)
SEMANTIC = Cell(
    "semantic",
    0.9,
    45_000,
    5,
    0,
    mean=91.0,
    deviation=0.25,
    difference=-1.5,
    difference_interval=(-1.75, -1.25),
    outcome="equivalent",
    worst_class="cat",
    worst_class_accuracy=78.0,
    most_lost_class="dog",
    most_lost=-4.5,
)


def test_a_row_has_the_worst_class_beside_the_mean_within_100_columns():
    lines = format_table(Verdict(0.25, "Sentence.", None, (FULL, SEMANTIC))).splitlines()
    assert lines[0].split("  ")[-1].strip() == "outcome"
    assert lines[2].split()[4:7] == ["92.50", "0.20", "81.25"]
    assert lines[3].split()[4:7] == ["91.00", "0.25", "78.00"]
    classes = lines.index("") + 1
    assert lines[classes].split("  ")[-1].strip() == "largest drop"
    assert lines[classes + 2].split() == ["full", "1", "cat", "–"]
    assert lines[classes + 3].split() == ["semantic", "0.9", "cat", "-4.50", "(dog)"]
    assert max(map(len, lines)) <= 100


def test_where_classes_are_not_known_their_table_is_left_out():
    lines = format_table(Verdict(0.25, "Sentence.", None, (Cell("full", 1.0, 10, 1, 0, 90.0),)))
    assert "largest drop" not in lines
    assert lines.splitlines()[2].split()[4:7] == ["90.00", "–", "–"]
