"""The tables of `scale_model`: what a study costs, what runs out first, and how well it held."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from itertools import chain
from typing import Any

from benchmarks.scale_inputs import WORKLOADS, Constants, Workload
from benchmarks.scale_model import (
    GPUS,
    INT64,
    Cost,
    Site,
    embedding_bytes,
    factor_bytes,
    head_seconds,
    limits,
    near_pairs,
    pairs_of,
    product_flops,
    slots,
    spread_seconds,
    study,
    training_seconds,
)
from rayred.linkage.engine import BYTES_A_NEAR_PAIR

ONE_CLASS = (1_000_000, 10_000_000, 100_000_000)
"""Rows of a single class."""
TILE = 1_000_000
"""Rows of a block, of which a task of a design that is not there gets two."""
MANY = 512
"""GPUs of the tables that have one column a data set."""
UNITS = ((1e18, "EB"), (1e15, "PB"), (1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
Row = list[str]
Check = Mapping[str, Any]


def tables(c: Constants, price: float, checks: Sequence[Check]) -> Iterator[str]:
    """Yield all tables as Markdown, each under its title."""
    yield _titled("Three data sets", study_table(c, price))
    yield _titled(f"Bytes, {MANY} GPUs", bytes_table(c))
    yield _titled(f"What is needed of what there is, {MANY} GPUs", limit_table(c))
    yield _titled(f"Workers of one training: ImageNet-1k, {MANY} GPUs", worker_table(c, price))
    yield _titled("One class of D = 2,048, keeping 90 %", one_class_table(c))
    yield _titled("Constants measured", constant_table(c, "measured"))
    yield _titled("Constants not measured", constant_table(c, "published", "assumed"))
    for title, rows in check_tables(checks):
        yield _titled(title, rows)


def study_table(c: Constants, price: float) -> list[Row]:
    """Return time of every stage, and time, money and use of the GPUs in all, by GPUs."""
    rows = [["", *(_count(gpus, "GPU") for gpus in GPUS)]]
    for work in WORKLOADS:
        rows += [[f"**{work.name}**", f"N = {work.images:,}", "", "", ""]]
        rows += stage_rows(work, c, price)
    return rows


def stage_rows(work: Workload, c: Constants, price: float) -> list[Row]:
    """Return the rows of one data set."""
    columns = {gpus: study(work, Site.of_gpus(gpus, work, c), c) for gpus in GPUS}
    total = {gpus: sum(cost.seconds for cost in costs) for gpus, costs in columns.items()}
    rows = []
    for place, cost in enumerate(columns[1]):
        if cost.seconds and cost.stage != "report":  # which does not depend on GPUs
            times = [duration(columns[gpus][place].seconds) for gpus in GPUS]
            lacking = [_lacks(cost.stage, work, gpus, c) for gpus in GPUS]
            marked = [t + " †" * no for t, no in zip(times, lacking, strict=True)]
            rows.append([cost.stage, *marked])
    rows.append(["all, and the report", *(duration(total[gpus]) for gpus in GPUS)])
    paid = {gpus: gpus * total[gpus] for gpus in GPUS}
    busy = {gpus: sum(cost.busy for cost in columns[gpus]) / paid[gpus] for gpus in GPUS}
    rows.append(["GPUs at work", *(f"{100 * busy[gpus]:.0f} %" for gpus in GPUS)])
    cost_of = [number(price * paid[gpus] / 3600) for gpus in GPUS]
    rows.append([f"USD, {price:g} a GPU hour", *cost_of])
    return rows


def _lacks(stage: str, work: Workload, gpus: int, c: Constants) -> bool:
    """Return whether a stage needs more memory than there is."""
    needed = limits(work, Site.of_gpus(gpus, work, c), c)
    return any(stage in one.stages.split() and one.share > 1 for one in needed)


def bytes_table(c: Constants) -> list[Row]:
    """Return the bytes that move, by data set."""
    ways: dict[str, Callable[[Cost], float]] = {
        "read from bucket or disk": lambda cost: cost.read,
        "put into the object store": lambda cost: cost.stored,
        "between nodes, without gradients": lambda cost: (
            0 if cost.stage in ("reference", "sweep") else cost.sent
        ),
        "gradients": lambda cost: cost.sent if cost.stage in ("reference", "sweep") else 0,
        "written, checkpoints included": lambda cost: cost.written,
    }
    studies = [study(work, Site.of_gpus(MANY, work, c), c) for work in WORKLOADS]
    return [
        [f"bytes, {MANY} GPUs", *(work.name for work in WORKLOADS)],
        *([way, *(size(sum(map(of, costs))) for costs in studies)] for way, of in ways.items()),
    ]


def limit_table(c: Constants) -> list[Row]:
    """Return what is needed of everything that is limited, by data set; bold: it is not there."""
    each = [limits(work, Site.of_gpus(MANY, work, c), c) for work in WORKLOADS]
    rows = [[f"needed, {MANY} GPUs", *(work.name for work in WORKLOADS), "there is"]]
    for same in zip(*each, strict=True):
        show = size if same[0].available > 1e6 else number
        needs = [show(one.needed) if one.needed else "–" for one in same]
        bold = [f"**{n}**" if one.share > 1 else n for n, one in zip(needs, same, strict=True)]
        rows.append([same[0].what, *bold, show(same[0].available)])
    return rows


def worker_table(c: Constants, price: float) -> list[Row]:
    """Return what the workers of one training make of a study, as trials are a whole number."""
    work = WORKLOADS[0]
    rows = [
        [
            "workers",
            "one training",
            "at a time",
            "rounds",
            "the study",
            f"USD, {price:g} a GPU hour",
        ]
    ]
    for workers in (4, 8, 16, 32, 64):
        site = Site.of_gpus(MANY, work, c, workers)
        total = sum(cost.seconds for cost in study(work, site, c))
        rounds = -(-work.trainings() // slots(site))
        rows.append(
            [
                str(workers),
                duration(training_seconds(work, site, c)),
                str(slots(site)),
                str(rounds),
                duration(total),
                number(price * MANY * total / 3600),
            ]
        )
    return rows


def one_class_table(c: Constants) -> list[Row]:
    """Return what exact linkage of one class takes, by its rows."""
    work, d, keep = WORKLOADS[-1], WORKLOADS[-1].dimensions, 0.9
    sites = {gpus: Site.of_gpus(gpus, work, c) for gpus in GPUS}

    def products(n: int, gpus: int) -> float:
        rates = sites[gpus].rates
        return (pairs_of(n) * rates.entry + product_flops(n, d) * rates.flop) / gpus

    def tiles(n: int) -> int:
        blocks = -(-n // TILE)
        return blocks * (blocks + 1) // 2

    several = GPUS[1:]
    ways: dict[str, Callable[[int], str]] = {
        "pairs; operations a stage": lambda n: f"{pairs_of(n):.1e}; {product_flops(n, d):.1e}",
        "stages": lambda n: f"{near_pairs(n, keep, c)[1]:g}",
        f"products of a stage, 1; {MANY} GPUs": lambda n: _joined(
            duration(products(n, gpus)) for gpus in (1, MANY)
        ),
        "all, if memory were there, 8; 64; 512 GPUs": lambda n: _joined(
            duration(spread_seconds(n, d, keep, sites[gpus], c)) for gpus in several
        ),
        "of it the head alone": lambda n: duration(head_seconds(n, d, keep, c)),
        "both factors, on every GPU": lambda n: size(factor_bytes(n, d)),
        "memory of the head": lambda n: size(n * d * c.large_memory),
        "near pairs of a stage; all distances": lambda n: _joined(
            [size(_pairs_a_stage(n, keep, c) * BYTES_A_NEAR_PAIR), size(pairs_of(n) * INT64)]
        ),
        f"as a design: tiles of {TILE:,} rows; bytes moved": lambda n: _joined(
            [f"{tiles(n):,}", size(2 * tiles(n) * embedding_bytes(TILE, d))]
        ),
    }
    return [
        [f"one class, D = {d:,}, keeping 90 %", *(f"n = {n:,}" for n in ONE_CLASS)],
        *([way, *map(of, ONE_CLASS)] for way, of in ways.items()),
    ]


def _pairs_a_stage(n: int, keep: float, c: Constants) -> float:
    found, stages = near_pairs(n, keep, c)
    return found / stages


def _joined(parts: Iterable[str]) -> str:
    return "; ".join(parts)


def constant_table(c: Constants, *sources: str, across: int = 3) -> list[Row]:
    """Return the constants of some kinds of source, several in a row."""
    shown = [
        [f"`{one.name}`", f"{getattr(c, one.name):.3g} {_explained(one.metadata)}"]
        for one in fields(c)
        if one.metadata["source"].startswith(sources)
    ]
    shown += [["", ""]] * (-len(shown) % across)
    height = len(shown) // across
    columns = [shown[first : first + height] for first in range(0, len(shown), height)]
    body = [list(chain.from_iterable(cells)) for cells in zip(*columns, strict=True)]
    return [[" or ".join(sources), ""] * across, *body]


def _explained(metadata: Mapping[str, str]) -> str:
    kind, _, by = metadata["source"].partition(": ")
    return metadata["what"] + {"published": f" ({by})", "measured": ""}.get(kind, " (assumed)")


def check_tables(checks: Sequence[Check]) -> Iterator[tuple[str, list[Row]]]:
    """Yield the tables of what was predicted and measured, each with its title."""
    for title in dict.fromkeys(one["table"] for one in checks):
        mine = [one for one in checks if one["table"] == title]
        columns = list(dict.fromkeys(one["column"] for one in mine))
        cells = {(one["row"], one["column"]): _cell(one) for one in mine}
        rows = dict.fromkeys(one["row"] for one in mine)
        yield (
            title,
            [
                ["predicted → measured", *columns],
                *([row, *(cells.get((row, column), "") for column in columns)] for row in rows),
            ],
        )


def _cell(one: Check) -> str:
    others = f", others {one['others']:.1f}" if one["others"] is not None else ""
    return f"{one['predicted']} → {one['measured']} ({round(one['error']):+d} %{others})"


def duration(seconds: float) -> str:
    """Return a time in a unit that suits it.

    >>> duration(41), duration(600), duration(16_600), duration(400_000)
    ('41 s', '10 min', '4.6 h', '4.6 d')
    """
    if seconds < 120:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{number(seconds / 86400)} d"


def size(count: float) -> str:
    """Return a number of bytes in a unit that suits it.

    >>> size(819_200_000_000), size(200)
    ('819 GB', '200 B')
    """
    unit, name = next(((u, name) for u, name in UNITS if count >= u), (1, "B"))
    return f"{number(count / unit)} {name}"


def number(value: float) -> str:
    """Return a number to three digits, or all before the point.

    >>> number(4.613), number(46_131.2), number(0.05)
    ('4.6', '46,131', '0.05')
    """
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 1 else f"{value:.2g}"


def _count(n: int, unit: str) -> str:
    return f"{n} {unit}" + ("" if n == 1 else "s")


def _titled(title: str, rows: Sequence[Row]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    rule = "| " + " | ".join(["---"] * len(rows[0])) + " |"
    return "\n".join([f"**{title}**", "", lines[0], rule, *lines[1:], ""])
