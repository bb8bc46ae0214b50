"""The result table as text."""

from __future__ import annotations

from rayred.search.results import Found
from rayred.verdict import Advantage, Cell, Verdict


def format_table(verdict: Verdict, found: Found | None = None) -> str:
    """Return one line per selector and fraction, then the search result and the verdict."""
    header = (
        "selector",
        "fraction",
        "images",
        "trials",
        "accuracy %",
        "± sd",
        "difference",
        "90 % interval",
        "outcome",
    )
    rows = [header, *(_row(cell) for cell in verdict.cells)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    left = {0, len(header) - 1}
    lines = [
        "  ".join(
            text.ljust(width) if column in left else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    lines.insert(1, "-" * max(map(len, lines)))
    against = [_against_random(one) for one in verdict.advantages]
    searched = [] if found is None else [found.sentence()]
    parts = [lines, against, searched, [verdict.sentence]]
    return "\n\n".join("\n".join(part) for part in parts if part)


def _against_random(one: Advantage) -> str:
    low, high = one.interval
    test = "paired by seed" if one.paired else "independent trials"
    return (
        f"{one.selector} − random at {one.fraction:g}: {one.difference:+.2f} points"
        f" (95 % CI {low:+.2f} to {high:+.2f}, p = {one.p_value:.3f} after Holm, {test})"
    )


def _row(cell: Cell) -> tuple[str, ...]:
    interval = cell.difference_interval
    trials = f"{cell.trials}" + (f" ({cell.failed} failed)" if cell.failed else "")
    return (
        cell.selector,
        f"{cell.fraction:g}",
        f"{cell.n_train:,}",
        trials,
        "–" if cell.mean is None else f"{cell.mean:.2f}",
        "–" if cell.deviation is None else f"{cell.deviation:.2f}",
        "–" if cell.difference is None else f"{cell.difference:+.2f}",
        "–" if interval is None else f"{interval[0]:+.2f} … {interval[1]:+.2f}",
        cell.outcome or "–",
    )
