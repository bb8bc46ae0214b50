"""Training from scratch: task, recipe, batches, loop, packs, checkpoints, test and embeddings.

Nothing here but `on_ray.py` needs Ray.
"""

from rayred.training.checkpoints import Checkpoints, State, part_of_state
from rayred.training.embedding import embed_images
from rayred.training.evaluation import correct_images, evaluate
from rayred.training.loop import train_model, train_pack
from rayred.training.numerics import resolved_precision
from rayred.training.task import Outcome, Task
from rayred.training.trained import Trained, load_model, load_trained, save_trained
from rayred.training.worker import Worker

__all__ = [
    "Checkpoints",
    "Outcome",
    "State",
    "Task",
    "Trained",
    "Worker",
    "correct_images",
    "embed_images",
    "evaluate",
    "load_model",
    "load_trained",
    "part_of_state",
    "resolved_precision",
    "save_trained",
    "train_model",
    "train_pack",
]
