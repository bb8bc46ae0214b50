import numpy as np
import pytest
import torch

from rayred.data import load_dataset
from rayred.models import build_model
from rayred.training import evaluate
from tests.training.examples import task


@pytest.fixture
def model():
    torch.manual_seed(0)
    return build_model(task().spec)


@pytest.mark.parametrize("mirrored", [False, True])
def test_accuracy_is_the_share_of_images_whose_largest_logit_is_their_class(model, mirrored):
    digits = load_dataset("digits")
    x = torch.from_numpy(digits.test.images).permute(0, 3, 1, 2)
    found = evaluate(model, digits.test, mirrored=mirrored)
    assert model.training
    model.eval()
    with torch.inference_mode():
        logits = model(x) + model(x.flip(3)) if mirrored else model(x)
    two = logits.topk(2).values
    assert (two[:, 0] - two[:, 1]).min() > 1e-5  # no class is decided by rounding
    expected = float(np.mean(logits.argmax(1).numpy() == digits.test.labels))
    assert found == pytest.approx(expected)
