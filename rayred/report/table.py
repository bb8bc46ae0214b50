"""The result table as text."""

from __future__ import annotations

from collections.abc import Sequence

from rayred.search.results import Found
from rayred.verdict import Advantage, Cell, Verdict

HEADER = (
    "selector",
    "fraction",
    "images",
    "trials",
    "accuracy %",
    "± sd",
    "worst %",
    "difference",
    "90 % interval",
    "outcome",
)
CLASSES_HEADER = ("selector", "fraction", "worst class", "largest drop")


def format_table(verdict: Verdict, found: Found | None = None) -> str:
    """Return one line per selector and fraction, then what else was found, and the verdict."""
    parts = [
        _aligned([HEADER, *(_row(cell) for cell in verdict.cells)], left={0, len(HEADER) - 1}),
        _classes(verdict.cells),
        [_against_random(one) for one in verdict.advantages],
        [] if found is None else [found.sentence()],
        [verdict.sentence],
    ]
    return "\n\n".join("\n".join(part) for part in parts if part)


def _aligned(rows: Sequence[tuple[str, ...]], left: set[int]) -> list[str]:
    """Return the lines of a table, a rule under the first; `left` are columns set to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            text.ljust(width) if column in left else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    lines.insert(1, "-" * max(map(len, lines)))
    return lines


def _classes(cells: Sequence[Cell]) -> list[str]:
    """Return the names of the worst and the most lost class of every cell that has them."""
    rows = [
        (
            cell.selector,
            f"{cell.fraction:g}",
            cell.worst_class,
            "–" if cell.most_lost is None else f"{cell.most_lost:+.2f} ({cell.most_lost_class})",
        )
        for cell in cells
        if cell.worst_class_accuracy is not None
    ]
    return _aligned([CLASSES_HEADER, *rows], left={0, 2, 3}) if rows else []


def _against_random(one: Advantage) -> str:
    low, high = one.interval
    test = "paired by seed" if one.paired else "independent trials"
    return (
        f"{one.selector} − random at {one.fraction:g}: {one.difference:+.2f} points"
        f" (95 % CI {low:+.2f} to {high:+.2f}, p = {one.p_value:.3f} after Holm, {test})"
    )


def _row(cell: Cell) -> tuple[str, ...]:
    interval, worst = cell.difference_interval, cell.worst_class_accuracy
    trials = f"{cell.trials}" + (f" ({cell.failed} failed)" if cell.failed else "")
    return (
        cell.selector,
        f"{cell.fraction:g}",
        f"{cell.n_train:,}",
        trials,
        "–" if cell.mean is None else f"{cell.mean:.2f}",
        "–" if cell.deviation is None else f"{cell.deviation:.2f}",
        "–" if worst is None else f"{worst:.2f}",
        "–" if cell.difference is None else f"{cell.difference:+.2f}",
        "–" if interval is None else f"{interval[0]:+.2f} … {interval[1]:+.2f}",
        cell.outcome or "–",
    )
