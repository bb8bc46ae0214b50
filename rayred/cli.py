"""The command line: arguments to calls."""

from __future__ import annotations

import argparse
import logging
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from rayred import __version__
from rayred.command import run_command, say, show
from rayred.files import LINKS

DATASET_HELP = (
    "data set: digits, cifar10, cifar100, fashion-mnist, imagenet, folder:PATH, parquet:GLOB or"
    " hf:NAME_OR_PATH"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code, see docs/commands.md."""
    return run_command(lambda: _call(arguments))


def _call(arguments: Sequence[str] | None) -> int:
    given = parser().parse_args(arguments)
    logging.basicConfig(format="%(message)s", level=logging.WARNING, stream=sys.stderr)
    logging.getLogger("rayred").setLevel(logging.INFO)
    code: int = given.call(given)
    return code


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands; docs/commands.md lists what it knows."""
    parser = argparse.ArgumentParser(
        prog="rayred",
        description="Find out how much of a labelled image data set is redundant, prove it by"
        " retraining, and get the smaller data set back.",
    )
    parser.add_argument(
        "--version", action="version", version=f"rayred {__version__}", help="print the version"
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    run = commands.add_parser("run", help="run an experiment, or finish one that was stopped")
    run.add_argument(
        "experiment",
        metavar="FILE|NAME",
        help="experiment file (YAML), or name of a shipped experiment (see rayred experiments)",
    )
    _add_set(run)
    run.add_argument(
        "--trials",
        dest="overrides",
        metavar="N",
        action="append",
        type="sweep.trials={}".format,
        help="trainings for every subset, as --set sweep.trials=N (default: the experiment's);"
        " a finished run is extended by the missing ones",
    )
    run.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        help="run folder, made if missing, neither in nor above what is read (default: runs/NAME,"
        " by the experiment's name)",
    )
    _add_address(run)
    _add_again(run)
    run.set_defaults(call=_run)

    experiments = commands.add_parser("experiments", help="list the experiments that are shipped")
    experiments.set_defaults(call=_experiments)

    prune = commands.add_parser("prune", help="keep one image of every group of redundant images")
    prune.add_argument("dataset", metavar="DATASET", help=DATASET_HELP)
    where = prune.add_mutually_exclusive_group()
    where.add_argument(
        "--keep",
        metavar="FRACTION",
        type=_fraction,
        help="share of each class's images to keep, above 0 and at most 1, as in 0.9 (default: a"
        " table says what several cuts would do, and nothing is pruned)",
    )
    where.add_argument(
        "--max-distance",
        metavar="D",
        type=_distance,
        help="largest cosine distance of two images of a group, 0 to 2, the same for all classes"
        " (default: --keep decides)",
    )
    prune.add_argument(
        "--allocate",
        metavar="{class,common}",
        choices=["class", "common"],
        default="class",
        help="class: --keep is the share of each class; common: it is the share of all images, by"
        " one distance, so that classes with more redundant images give more (default: class)",
    )
    prune.add_argument(
        "--floor",
        metavar="N",
        type=_count,
        default=1,
        help="fewest images of a class to keep, if it has so many (default: 1)",
    )
    prune.add_argument(
        "--representative",
        metavar="{centre,largest,oldest,highest,lowest}",
        choices=["centre", "largest", "oldest", "highest", "lowest"],
        default="centre",
        help="image of a group to keep: the closest to its centre, the one of most pixels, of files"
        " the one changed first, or the one highest or lowest in the column that"
        " data.score_column names (default: centre)",
    )
    prune.add_argument(
        "--by",
        metavar="SELECTOR",
        default="semantic",
        help="how --keep chooses: semantic, one image of every group, or another selector of"
        " docs/selectors.md, such as k_center (default: semantic)",
    )
    prune.add_argument(
        "--dry-run",
        action="store_true",
        help="only say what would be kept (default: write it)",
    )
    prune.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        required=True,
        help="folder to write to, neither in nor above what is read (required)",
    )
    space = prune.add_mutually_exclusive_group()
    space.add_argument(
        "--embeddings",
        metavar="FILE",
        type=Path,
        help="embeddings to use, one an image, .npy, .npz or .parquet (default: a reference model"
        " is trained, and its embeddings are used)",
    )
    space.add_argument(
        "--model",
        metavar="NAME",
        help="model that is trained already, of torchvision or timm:NAME, whose embeddings are used"
        " (default: a reference model is trained)",
    )
    space.add_argument(
        "--pixels",
        action="store_true",
        help="compare thumbnails of the images: at once, for copies and little else (default:"
        " embeddings)",
    )
    prune.add_argument(
        "--weights",
        metavar="FILE|default",
        help="weights of --model: a file that torch.save wrote, or those that its library"
        " recommends (default: none, and --model needs them)",
    )
    prune.add_argument(
        "--unlabelled",
        action="store_true",
        help="take all images as one class, those of folder:PATH at any depth; with --model,"
        " --embeddings or --pixels (default: the classes of the data set)",
    )
    _add_link(prune)
    _add_set(prune)
    _add_address(prune)
    _add_again(prune)
    prune.set_defaults(call=_prune)

    check = commands.add_parser(
        "check", help="find images that are there twice: in a class, in two classes, in two splits"
    )
    _add_check(check)

    cluster = commands.add_parser("cluster", help="find redundant rows in a file of embeddings")
    cluster.add_argument(
        "embeddings",
        metavar="EMBEDDINGS",
        type=Path,
        help="embeddings, one a row: .npy, .npz (array embeddings) or .parquet (column embedding)",
    )
    cluster.add_argument(
        "--labels",
        metavar="LABELS",
        type=Path,
        required=True,
        help="class of every row: .npy, .npz (array labels) or .parquet (column label) (required)",
    )
    _add_keep(cluster, "rows")
    cluster.add_argument(
        "--out",
        metavar="FILE",
        type=Path,
        required=True,
        help="file to write the kept rows to: .npy, .npz or .parquet; an earlier one is replaced"
        " (required)",
    )
    cluster.set_defaults(call=_cluster)

    results = commands.add_parser("results", help="print the table of a run, with the verdict")
    _add_folder(results)
    results.set_defaults(call=_results)

    report = commands.add_parser("report", help="make the figures and the page of a run again")
    _add_folder(report)
    report.add_argument(
        "--out",
        metavar="FOLDER",
        type=Path,
        help="new or empty folder to write to, as for a run that is at work or read-only (default:"
        " DIR)",
    )
    report.set_defaults(call=_report)

    clean = commands.add_parser(
        "clean", help="remove what earlier configs have made and the current one does not use"
    )
    _add_folder(clean)
    clean.add_argument(
        "--dry-run", action="store_true", help="only say what would be removed (default: remove it)"
    )
    clean.set_defaults(call=_clean)

    ui = commands.add_parser("ui", help="open MLflow's pages on a run, for this machine only")
    _add_folder(ui)
    ui.add_argument(
        "--port", metavar="N", type=_port, default=5000, help="port on 127.0.0.1 (default: 5000)"
    )
    ui.set_defaults(call=_ui)

    upload = commands.add_parser("upload", help="send to MLflow what it does not have of a run")
    _add_folder(upload)
    upload.add_argument(
        "--uri",
        metavar="URI",
        help="MLflow server or database to send to (default: tracking.uri of the run)",
    )
    upload.set_defaults(call=_upload)

    doctor = commands.add_parser("doctor", help="check what this machine and cluster can do")
    _add_address(doctor)
    doctor.set_defaults(call=_doctor)
    return parser


def _add_check(check: argparse.ArgumentParser) -> None:
    check.add_argument("dataset", metavar="DATASET", help=DATASET_HELP)
    check.add_argument(
        "--max-distance",
        metavar="D",
        type=_distance,
        default=0.02,
        help="largest cosine distance of two images that count as the same, 0 to 2 (default: 0.02)",
    )
    check.add_argument(
        "--hash-bits",
        metavar="N",
        type=_bits,
        default=4,
        help="largest number of bits, of 64, in which the perceptual hashes of two such images"
        " differ, 0 to 32 (default: 4)",
    )
    check.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        help="folder to write the tables to, neither in nor above what is read (default: nothing is"
        " written)",
    )
    check.add_argument(
        "--without-leaks",
        metavar="{train,test}",
        choices=["train", "test"],
        help="write the rows, and the image files, of this split that have no copy in the other one"
        " (default: none)",
    )
    check.add_argument(
        "--embeddings",
        metavar="FILE",
        type=Path,
        help="embeddings of the training images, .npy, .npz or .parquet (default: thumbnails of the"
        " images are compared)",
    )
    check.add_argument(
        "--test-embeddings",
        metavar="FILE",
        type=Path,
        help="embeddings of the test images by the same model (default: as --embeddings)",
    )
    check.add_argument(
        "--unlabelled",
        action="store_true",
        help="take all images as one class, those of folder:PATH at any depth (default: the classes"
        " of the data set)",
    )
    _add_link(check)
    _add_set(check)
    check.set_defaults(call=_check)


def _add_link(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--link",
        metavar="{copy,hard,symlink}",
        choices=list(LINKS),
        default="copy",
        help="how kept image files are put into DIR/images: copy, which shares the disk's blocks"
        " where the file system can; hard or symlink, through which a change of one changes the"
        " original (default: copy)",
    )


def _add_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dir", metavar="DIR", type=Path, help="run folder")


def _add_again(parser: argparse.ArgumentParser) -> None:
    again = parser.add_mutually_exclusive_group()
    again.add_argument(
        "--fresh",
        action="store_true",
        help="start over: what an earlier run has made is not used, and is replaced when its"
        " replacement stands (default: go on)",
    )
    again.add_argument(
        "--update",
        action="store_true",
        help="go on with settings that differ from the folder's: what does not depend on them is"
        " used again, and what was made before stays (default: refuse them)",
    )


def _fraction(text: str) -> float:
    value = _number(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text}: expected a fraction in (0, 1]")
    return value


def _distance(text: str) -> float:
    value = _number(text)
    if not 0 <= value <= 2:
        raise argparse.ArgumentTypeError(f"{text}: expected a cosine distance, 0 to 2")
    return value


def _number(text: str) -> float:
    """Return a number; NaN, which is in no range, for what is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) >= 1):
        raise argparse.ArgumentTypeError(f"{text}: expected a whole number of 1 or more")
    return int(text)


def _bits(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) <= 32):
        raise argparse.ArgumentTypeError(f"{text}: expected a whole number, 0 to 32")
    return int(text)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text}: expected a port from 1 to 65535")
    return int(text)


def _add_keep(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument(
        "--keep",
        metavar="FRACTION",
        type=_fraction,
        required=True,
        help=f"share of each class's {what} to keep, above 0 and at most 1, as in 0.9 (required)",
    )


def _add_set(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set",
        dest="overrides",
        metavar="KEY.PATH=VALUE",
        action="append",
        default=[],
        help="change a setting, as in train.lr=0.05; can be given several times",
    )


def _add_address(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--address",
        metavar="ADDRESS",
        help="Ray cluster to use: HOST:PORT or auto (default: RAY_ADDRESS if it is set, else Ray is"
        " started on this machine)",
    )


def _run(given: argparse.Namespace) -> int:
    from rayred.config.file import load_experiment
    from rayred.config.shipped import experiment_path

    file = experiment_path(given.experiment)
    experiment = load_experiment(file, given.overrides)

    from rayred.pipeline import run
    from rayred.places import check_experiment_file
    from rayred.report.table import format_table

    out = given.out or Path("runs") / experiment.name
    check_experiment_file(file, out)
    study = run(experiment, out, address=given.address, fresh=given.fresh, update=given.update)
    show(f"\n{format_table(study.verdict, study.found)}\n")
    show(f"report   {study.folder / 'report.html'}")
    show(f"figures  {study.folder / 'figures'}")
    show(f"subsets  {study.folder / 'subsets'}")
    if study.tracking_failure is None:
        show(f"MLflow   rayred ui {study.folder}")
    else:
        show(
            f"MLflow   not complete: {study.tracking_failure}\n"
            f"         Nothing is lost. Send it later with: rayred upload {study.folder}"
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
        "pixels",
        "unlabelled",
        "overrides",
        "address",
        "fresh",
        "update",
    )
    settings = {name: getattr(given, name) for name in names}
    if given.keep is None and given.max_distance is None:
        show(summary_table(look(given.dataset, given.out, **settings)))
        show("nothing is pruned; choose one: the same command with the cut, or --max-distance D")
        return 0
    pruned = prune(
        given.dataset,
        given.keep,
        given.out,
        max_distance=given.max_distance,
        allocate=given.allocate,
        representative=given.representative,
        by=given.by,
        link=given.link,
        dry_run=given.dry_run,
        **settings,
    )
    if given.dry_run:
        show(summary_table([pruned.summary]))
        show("nothing is pruned (--dry-run)")
        return 0
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
    show(str((given.out or given.dir) / "report.html"))
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
    show(f"MLflow at {tracker.uri} has all of {given.dir}")
    return 0


def _doctor(given: argparse.Namespace) -> int:
    from rayred.doctor import examine

    findings = examine(given.address)
    for finding in findings:
        show(f"{finding.state:<5} {finding.name:<9} {finding.text}")
    return 1 if any(finding.state == "FAIL" for finding in findings) else 0
