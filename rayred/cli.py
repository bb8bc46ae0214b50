"""The command line: arguments to calls."""

from __future__ import annotations

import argparse
import logging
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from rayred import __version__
from rayred.errors import RayredError

DATASET_HELP = "digits, cifar10, cifar100, fashion-mnist, imagenet, folder:PATH or parquet:GLOB"

ARRAY_HELP = ".npy, .npz or .parquet"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns 0 when done, 1 when it failed, 2 on bad input."""
    given = _parser().parse_args(arguments)
    logging.basicConfig(format="%(message)s", level=logging.WARNING, stream=sys.stderr)
    logging.getLogger("rayred").setLevel(logging.INFO)
    try:
        code: int = given.call(given)
    except RayredError as error:
        print(f"rayred: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("rayred: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rayred",
        description="Find out how much of a labelled image data set is redundant, prove it by"
        " retraining, and get the smaller data set back.",
    )
    parser.add_argument("--version", action="version", version=f"rayred {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    run = commands.add_parser("run", help="run an experiment file, or go on with it")
    run.add_argument("file", metavar="FILE", type=Path, help="experiment file (YAML)")
    _add_set(run)
    run.add_argument(
        "--trials",
        metavar="N",
        help="sweep.trials=N; in a run folder with fewer trials, only the missing ones are run",
    )
    run.add_argument("--out", metavar="DIR", type=Path, help="run folder (default: runs/NAME)")
    _add_address(run)
    _add_again(run)
    run.set_defaults(call=_run)

    prune = commands.add_parser("prune", help="keep one image of every redundant group")
    prune.add_argument("dataset", metavar="DATASET", help=DATASET_HELP)
    _add_keep(prune)
    prune.add_argument("--out", metavar="DIR", type=Path, required=True, help="folder to write")
    prune.add_argument(
        "--embeddings", metavar="FILE", type=Path, help="one embedding an image (default: train)"
    )
    _add_set(prune)
    _add_address(prune)
    _add_again(prune)
    prune.set_defaults(call=_prune)

    cluster = commands.add_parser("cluster", help="cluster embeddings, each class on its own")
    cluster.add_argument("embeddings", metavar="EMBEDDINGS", type=Path, help=ARRAY_HELP)
    cluster.add_argument("--labels", metavar="LABELS", type=Path, required=True, help=ARRAY_HELP)
    _add_keep(cluster)
    cluster.add_argument("--out", metavar="FILE", type=Path, required=True, help=ARRAY_HELP)
    cluster.set_defaults(call=_cluster)

    results = commands.add_parser("results", help="print the table of a run, with the verdict")
    _add_folder(results)
    results.set_defaults(call=_results)

    report = commands.add_parser("report", help="make figures and page again from a run folder")
    _add_folder(report)
    report.set_defaults(call=_report)

    ui = commands.add_parser("ui", help="open MLflow on a run's store, on this machine alone")
    _add_folder(ui)
    ui.add_argument("--port", type=int, default=5000, help="port on 127.0.0.1 (default: 5000)")
    ui.set_defaults(call=_ui)

    upload = commands.add_parser("upload", help="send to MLflow what it has not got of a run")
    _add_folder(upload)
    upload.add_argument(
        "--uri", help="tracking server or database (default: tracking.uri of the run)"
    )
    upload.set_defaults(call=_upload)

    doctor = commands.add_parser("doctor", help="say what this machine and cluster can do")
    _add_address(doctor)
    doctor.set_defaults(call=_doctor)
    return parser


def _add_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dir", metavar="DIR", type=Path, help="run folder")


def _add_again(parser: argparse.ArgumentParser) -> None:
    over = parser.add_mutually_exclusive_group()
    over.add_argument("--fresh", action="store_true", help="start over in the run folder")
    over.add_argument(
        "--update",
        action="store_true",
        help="go on with a changed config: redo only what depends on the changes",
    )


def _fraction(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text}: expected a fraction in (0, 1]")
    return value


def _add_keep(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--keep", type=_fraction, required=True, help="fraction of every class to keep, in (0, 1]"
    )


def _add_set(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set",
        dest="overrides",
        metavar="KEY.PATH=VALUE",
        action="append",
        default=[],
        help="replace a setting, as in train.lr=0.05; may be given again",
    )


def _add_address(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--address",
        help="Ray cluster: auto or HOST:PORT (default: RAY_ADDRESS, else a Ray of its own here)",
    )


def _run(given: argparse.Namespace) -> int:
    from rayred.config.file import load_experiment

    trials = [] if given.trials is None else [f"sweep.trials={given.trials}"]
    experiment = load_experiment(given.file, given.overrides + trials)

    from rayred.pipeline import run
    from rayred.report.table import format_table

    study = run(
        experiment, given.out, address=given.address, fresh=given.fresh, update=given.update
    )
    print(f"\n{format_table(study.verdict, study.found)}\n")
    print(f"report   {study.folder / 'report.html'}")
    print(f"figures  {study.folder / 'figures'}")
    print(f"subsets  {study.folder / 'subsets'}")
    if study.tracking_failure is None:
        print(f"MLflow   rayred ui {study.folder}")
    else:
        print(
            f"MLflow   {study.tracking_uri} did not answer: {study.tracking_failure}\n"
            f"         Nothing is lost. Send it later with: rayred upload {study.folder}"
        )
    for result in study.failed:
        print(f"rayred: trial {result.trial.name} failed: {result.reason}", file=sys.stderr)
    return 1 if study.failed else 0


def _prune(given: argparse.Namespace) -> int:
    from rayred.pipeline import prune

    pruned = prune(
        given.dataset,
        given.keep,
        given.out,
        embeddings=given.embeddings,
        overrides=given.overrides,
        address=given.address,
        fresh=given.fresh,
        update=given.update,
    )
    print(f"{len(pruned.kept):,} of {pruned.n_images:,} images are kept: {pruned.folder}/kept.npy")
    return 0


def _cluster(given: argparse.Namespace) -> int:
    from rayred.clustering.groups import group_embeddings

    kept, rows = group_embeddings(given.embeddings, given.labels, given.keep, given.out)
    print(f"{kept:,} of {rows:,} rows are kept: {given.out}")
    return 0


def _results(given: argparse.Namespace) -> int:
    from rayred.report.table import format_table
    from rayred.tracking.review import found_settings, results

    print(format_table(results(given.dir), found_settings(given.dir)))
    return 0


def _report(given: argparse.Namespace) -> int:
    from rayred.tracking.review import report

    report(given.dir)
    print(given.dir / "report.html")
    return 0


def _ui(given: argparse.Namespace) -> int:
    from rayred.tracking.review import tracking_of
    from rayred.tracking.ui import serve

    uri, experiment = tracking_of(given.dir)
    with serve(uri, experiment, given.port) as server:
        print(f"MLflow   {server.address}", flush=True)
        server.wait()
    return 0


def _upload(given: argparse.Namespace) -> int:
    from rayred.tracking.review import upload

    tracker = upload(given.dir, given.uri)
    if tracker.failure is not None:
        print(f"rayred: {tracker.uri} did not take it all: {tracker.failure}", file=sys.stderr)
        return 1
    print(f"MLflow at {tracker.uri} has all of {given.dir}")
    return 0


def _doctor(given: argparse.Namespace) -> int:
    from rayred.doctor import examine

    findings = examine(given.address)
    for finding in findings:
        print(f"{finding.state:<5} {finding.name:<9} {finding.text}")
    return 1 if any(finding.state == "FAIL" for finding in findings) else 0


if __name__ == "__main__":
    sys.exit(main())
