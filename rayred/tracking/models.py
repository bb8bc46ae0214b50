"""The reference model of a study as MLflow's logged model."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from rayred.training import Trained

ACCURACY = "reference_test_accuracy"


def log_model(client: Any, run: Any, reference: Trained, params: Mapping[str, str]) -> str:
    """Log the reference model of a run, and return its id; what is there of it is replaced.

    Parameters
    ----------
    client, run
        MLflow's client, and the study's run.
    reference
        The model.
    params
        What the model's page says of it.
    """
    for left in _models_of(client, run):
        client.delete_logged_model(left.model_id)
    made = client.create_logged_model(
        run.info.experiment_id,
        name="reference",
        source_run_id=run.info.run_id,
        params=dict(params),
        model_type="classifier",
    )
    model_id = str(made.model_id)
    try:
        _upload_model(client, model_id, reference)
        client.finalize_logged_model(model_id, "READY")
    except Exception:
        client.delete_logged_model(model_id)
        raise
    return model_id


def link_model(client: Any, run: Any) -> None:
    """Show the reference model with its run, and its accuracy and data set with it.

    What is linked already is left alone, and so is a model that was deleted in MLflow's pages.
    """
    from mlflow.entities import LoggedModelOutput, Metric

    outputs = {one.model_id for one in run.outputs.model_outputs} if run.outputs else set()
    for model in _models_of(client, run):
        if model.model_id not in outputs:
            client.log_outputs(run.info.run_id, [LoggedModelOutput(model.model_id, step=0)])
        points = client.get_metric_history(run.info.run_id, ACCURACY)
        if not model.metrics and points:
            last = max(points, key=lambda point: point.step)
            given = [one.dataset for one in run.inputs.dataset_inputs]
            data = (given[0].name, given[0].digest) if given else (None, None)
            point = Metric(
                ACCURACY,
                last.value,
                last.timestamp,  # as it is with the run, which has this point once
                last.step,
                model_id=model.model_id,
                dataset_name=data[0],
                dataset_digest=data[1],
                run_id=run.info.run_id,
            )
            client.log_batch(run.info.run_id, metrics=[point])


def _models_of(client: Any, run: Any) -> list[Any]:
    """Return the models that a run has logged."""
    ours = f"source_run_id = '{run.info.run_id}'"
    return list(client.search_logged_models([run.info.experiment_id], ours))


def _upload_model(client: Any, model_id: str, reference: Trained) -> None:
    """Upload the reference model, exported so that it can be loaded without rayred."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow.pytorch
        from mlflow.models import ModelSignature
        from mlflow.types import Schema, TensorSpec

        height, width, channels = reference.spec.image_shape
        images = (-1, channels, height, width)
        signature = ModelSignature(
            Schema([TensorSpec(np.dtype(np.uint8), images)]),
            Schema([TensorSpec(np.dtype(np.float32), (-1, reference.spec.classes))]),
        )
        with tempfile.TemporaryDirectory() as folder:
            mlflow.pytorch.save_model(
                reference.model(),
                f"{folder}/model",
                signature=signature,
                input_example=np.zeros((2, *images[1:]), np.uint8),
                pip_requirements=["torch", "numpy"],
                serialization_format="pt2",
                mlflow_model=mlflow.models.Model(model_id=model_id),
            )
            client.log_model_artifacts(model_id, f"{folder}/model")
