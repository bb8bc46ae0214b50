"""The command line: arguments to calls."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rayred.arguments import parser
from rayred.buckets import is_url, shown_url
from rayred.command import run_command, say, show
from rayred.errors import ConfigError

if TYPE_CHECKING:
    from rayred.review import Study


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code, see docs/commands.md."""
    return run_command(lambda: _call(arguments))


def _call(arguments: Sequence[str] | None) -> int:
    given = parser().parse_args(arguments)
    logging.basicConfig(format="%(message)s", level=logging.WARNING, stream=sys.stderr)
    logging.getLogger("rayred").setLevel(logging.INFO)
    return _COMMANDS[given.command](given)


def _run(given: argparse.Namespace) -> int:
    from rayred.config.file import load_experiment
    from rayred.config.shipped import experiment_path

    file = experiment_path(given.experiment)
    experiment = load_experiment(file, given.overrides)

    from rayred.pipeline import run
    from rayred.places import check_experiment_file

    out = given.out or Path("runs") / experiment.name
    if not is_url(out):
        check_experiment_file(file, out)
    return _show_study(
        run(experiment, out, address=given.address, fresh=given.fresh, update=given.update)
    )


def _verify(given: argparse.Namespace) -> int:
    from rayred.pruning.verifying import verify

    return _show_study(
        verify(
            given.dir,
            given.out,
            overrides=given.overrides,
            address=given.address,
            fresh=given.fresh,
            update=given.update,
        )
    )


def _show_study(study: Study) -> int:
    """Say what a study has found, and where; return the exit code."""
    from rayred.report.table import format_table

    show(f"\n{format_table(study.verdict, study.found)}\n")
    show(f"report   {study.place}/report.html")
    show(f"figures  {study.place}/figures")
    show(f"subsets  {study.place}/subsets")
    if study.tracking_failure is None:
        show(f"MLflow   rayred ui {study.place}")
    else:
        show(
            f"MLflow   not complete: {study.tracking_failure}\n"
            f"         Nothing is lost. Send it later with: rayred upload {study.place}"
        )
    for result in study.failed:
        say(f"rayred: trial {result.trial.name} failed: {result.reason}")
    return 1 if study.failed else 0


def _experiments(_: argparse.Namespace) -> int:
    from rayred.config.shipped import describe_experiments

    for name, sentence in describe_experiments().items():
        show(f"{name:<14} {sentence}")
    return 0


def _prune(given: argparse.Namespace) -> int:
    from rayred.pruning.jobs import look, prune
    from rayred.pruning.tables import summary_table

    names = (
        "floor",
        "embeddings",
        "model",
        "weights",
        "reference",
        "pixels",
        "against",
        "unlabelled",
        "overrides",
        "address",
        "fresh",
        "update",
    )
    settings = {name: getattr(given, name) for name in names}
    if all(cut is None for cut in (given.keep, given.max_distance, given.edited)):
        chosen = given.by, given.allocate, given.representative
        if chosen != ("semantic", "class", "centre"):
            raise ConfigError(
                "prune: --by, --allocate and --representative go with a cut: give --keep, or"
                " --max-distance"
            )
        show(summary_table(look(given.dataset, given.out, **settings)))
        show("nothing is pruned; choose one: the same command with the cut, or --max-distance D")
        return 0
    pruned = prune(
        given.dataset,
        given.keep,
        given.out,
        max_distance=given.max_distance,
        edited=given.edited,
        allocate=given.allocate,
        representative=given.representative,
        by=given.by,
        link=given.link,
        dry_run=given.dry_run,
        **settings,
    )
    if given.dry_run:
        if given.edited is None:
            show(summary_table([pruned.summary]))
        else:
            show(f"{len(pruned.kept):,} of {pruned.n_images:,} images would be kept")
        show("nothing is pruned (--dry-run)")
        return 0
    if given.against is not None:
        show(f"{pruned.summary.known:,} images are in {given.against} already: known.csv")
    show(f"{len(pruned.kept):,} of {pruned.n_images:,} images are kept: {pruned.folder}/kept.npy")
    return 0


def _check(given: argparse.Namespace) -> int:
    from rayred.checking.tables import summary_text
    from rayred.doubles import check

    checked = check(
        given.dataset,
        given.out,
        max_distance=given.max_distance,
        hash_bits=given.hash_bits,
        embeddings=given.embeddings,
        test_embeddings=given.test_embeddings,
        unlabelled=given.unlabelled,
        without_leaks=given.without_leaks,
        link=given.link,
        overrides=given.overrides,
    )
    show(summary_text(checked.tables))
    if given.without_leaks is not None:
        kept = len(checked.without_leaks(given.without_leaks))
        show(f"{kept:,} {given.without_leaks} images have no copy in the other split")
    if given.out is not None:
        show(f"tables   {given.out}")
    return 0


def _cluster(given: argparse.Namespace) -> int:
    from rayred.clustering.array_files import cluster_files

    kept, rows = cluster_files(given.embeddings, given.labels, given.keep, given.out)
    show(f"{kept:,} of {rows:,} rows are kept: {given.out}")
    return 0


def _results(given: argparse.Namespace) -> int:
    from rayred.report.table import format_table
    from rayred.review import results

    show(format_table(*results(given.dir)))
    return 0


def _report(given: argparse.Namespace) -> int:
    from rayred.review import report

    report(given.dir, given.out)
    show(f"{given.out or shown_url(given.dir)}/report.html")
    return 0


def _clean(given: argparse.Namespace) -> int:
    from rayred.review import clean

    found = clean(given.dir, dry_run=given.dry_run)
    for path in found.paths():
        show(str(path))
    done = "would be removed" if given.dry_run else "are removed"
    show(f"{len(found.paths()):,} folders, {found.bytes / 1e6:,.1f} MB, {done}")
    return 0


def _ui(given: argparse.Namespace) -> int:
    from rayred.review import tracking_of
    from rayred.tracking.ui import serve

    uri, experiment = tracking_of(given.dir)
    with serve(uri, experiment, given.port) as server:
        show(f"MLflow   {server.address}")
        server.wait()
    return 0


def _upload(given: argparse.Namespace) -> int:
    from rayred.review import upload

    tracker = upload(given.dir, given.uri)
    if tracker.failure is not None:
        say(f"rayred: {tracker.failure}")
        return 1
    show(f"MLflow at {tracker.uri} has all of {shown_url(given.dir)}")
    return 0


def _doctor(given: argparse.Namespace) -> int:
    from rayred.doctor import examine

    findings = examine(given.address, given.storage)
    for finding in findings:
        show(f"{finding.state:<5} {finding.name:<9} {finding.text}")
    return 1 if any(finding.state == "FAIL" for finding in findings) else 0


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "run": _run,
    "experiments": _experiments,
    "prune": _prune,
    "verify": _verify,
    "cluster": _cluster,
    "results": _results,
    "report": _report,
    "clean": _clean,
    "ui": _ui,
    "upload": _upload,
    "doctor": _doctor,
    "check": _check,
}
"""What each command calls."""
