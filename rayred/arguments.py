"""The arguments of all commands, as argparse takes them; docs/commands.md lists them."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from rayred import __version__
from rayred.buckets import is_url
from rayred.files import LINKS

DATASET_HELP = (
    "data set: digits, cifar10, cifar100, fashion-mnist, imagenet, folder:PATH, parquet:GLOB or"
    " hf:NAME_OR_PATH"
)


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
    commands = parser.add_subparsers(metavar="COMMAND", dest="command", required=True)

    run = commands.add_parser("run", help="run an experiment, or finish one that was stopped")
    run.add_argument(
        "experiment",
        metavar="FILE|NAME",
        help="experiment file (YAML), or name of a shipped experiment (see rayred experiments)",
    )
    _add_study(run, "runs/NAME, by the experiment's name", "the experiment's")

    commands.add_parser("experiments", help="list the experiments that are shipped")

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
    where.add_argument(
        "--edited",
        metavar="FILE",
        type=_path,
        help="images chosen by hand or on the page of the report: a kept.txt, or a discarded.csv of"
        " those that are not kept (default: --keep decides)",
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
        type=_path,
        required=True,
        help="folder to write to, neither in nor above what is read (required)",
    )
    space = prune.add_mutually_exclusive_group()
    space.add_argument(
        "--embeddings",
        metavar="FILE",
        type=_path,
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
        "--reference",
        metavar="DIR",
        type=_path,
        help="folder of an earlier run or prune, whose reference model's embeddings are used"
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
        "--against",
        metavar="DATASET|FILE",
        help="data set that you have, or with --embeddings a file of its embeddings: images within"
        " --max-distance of one of its images are not kept (default: none)",
    )
    prune.add_argument(
        "--unlabelled",
        action="store_true",
        help="take all images as one class, those of folder:PATH at any depth; with --model,"
        " --reference, --embeddings or --pixels (default: the classes of the data set)",
    )
    _add_link(prune)
    _add_set(prune)
    _add_address(prune)
    _add_again(prune)

    verify = commands.add_parser(
        "verify", help="train on what prune keeps, on random images and on all, and judge"
    )
    verify.add_argument(
        "dir", metavar="DIR", type=_path, help="folder that rayred prune has written"
    )
    _add_study(verify, "DIR/verified")

    check = commands.add_parser(
        "check", help="find images that are there twice: in a class, in two classes, in two splits"
    )
    _add_check(check)

    cluster = commands.add_parser("cluster", help="find redundant rows in a file of embeddings")
    cluster.add_argument(
        "embeddings",
        metavar="EMBEDDINGS",
        type=_path,
        help="embeddings, one a row: .npy, .npz (array embeddings) or .parquet (column embedding)",
    )
    cluster.add_argument(
        "--labels",
        metavar="LABELS",
        type=_path,
        required=True,
        help="class of every row: .npy, .npz (array labels) or .parquet (column label) (required)",
    )
    _add_keep(cluster, "rows")
    cluster.add_argument(
        "--out",
        metavar="FILE",
        type=_path,
        required=True,
        help="file to write the kept rows to: .npy, .npz or .parquet; an earlier one is replaced"
        " (required)",
    )

    results = commands.add_parser("results", help="print the table of a run, with the verdict")
    _add_folder(results)

    report = commands.add_parser("report", help="make the figures and the page of a run again")
    _add_folder(report)
    report.add_argument(
        "--out",
        metavar="FOLDER",
        type=_path,
        help="new or empty folder to write to, as for a run that is at work or read-only (default:"
        " DIR)",
    )

    clean = commands.add_parser(
        "clean", help="remove what earlier configs have made and the current one does not use"
    )
    _add_folder(clean)
    clean.add_argument(
        "--dry-run", action="store_true", help="only say what would be removed (default: remove it)"
    )

    ui = commands.add_parser("ui", help="open MLflow's pages on a run, for this machine only")
    _add_folder(ui)
    ui.add_argument(
        "--port", metavar="N", type=_port, default=5000, help="port on 127.0.0.1 (default: 5000)"
    )

    upload = commands.add_parser("upload", help="send to MLflow what it does not have of a run")
    _add_folder(upload)
    upload.add_argument(
        "--uri",
        metavar="URI",
        help="MLflow server or database to send to (default: tracking.uri of the run)",
    )

    doctor = commands.add_parser("doctor", help="check what this machine and cluster can do")
    _add_address(doctor)
    doctor.add_argument(
        "--storage",
        metavar="PLACE",
        help="folder or URL of run folders or checkpoints that every node is to write and read"
        " (default: none is tried)",
    )
    return parser


def _add_study(parser: argparse.ArgumentParser, out: str, trials: str = "5") -> None:
    _add_set(parser)
    parser.add_argument(
        "--trials",
        dest="overrides",
        metavar="N",
        action="append",
        type="sweep.trials={}".format,
        help=f"trainings for every subset, as --set sweep.trials=N (default: {trials});"
        " a finished run is extended by the missing ones",
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=_place,
        help="run folder, or its URL in a bucket, as in s3://BUCKET/runs/NAME; made if missing,"
        f" neither in nor above what is read (default: {out})",
    )
    _add_address(parser)
    _add_again(parser)


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
        type=_path,
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
        type=_path,
        help="embeddings of the training images, .npy, .npz or .parquet (default: thumbnails of the"
        " images are compared)",
    )
    check.add_argument(
        "--test-embeddings",
        metavar="FILE",
        type=_path,
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
    parser.add_argument("dir", metavar="DIR", type=_place, help="run folder, or its URL")


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


def _path(text: str) -> Path:
    if is_url(text):
        raise argparse.ArgumentTypeError(f"{text}: expected a path on this machine, not a URL")
    return Path(text)


def _place(text: str) -> Path | str:
    return text if is_url(text) else Path(text)


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
