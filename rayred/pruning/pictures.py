"""Discarded images beside what is kept in their place, as pictures of a notebook."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from rayred.data.listing import one_line
from rayred.pruning.tables import Chosen


@dataclass(frozen=True)
class Picture:
    """An image."""

    data: str
    """PNG file in base64."""
    name: str
    distance: float
    """Cosine distance to what is kept in its place; 0 for what is kept."""

    @classmethod
    def of(cls, chosen: Chosen, image: int) -> Picture:
        """Return an image of a data set, as it was compared."""
        pixels = chosen.split.images[np.array([image])][0]
        buffer = io.BytesIO()
        Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(buffer, "PNG")
        data = base64.b64encode(buffer.getvalue()).decode()
        name = one_line(chosen.split.names[image])
        return cls(data, name, float(chosen.standing.distance[image]))


def farthest_pairs(chosen: Chosen, most: int) -> list[tuple[Picture, Picture]]:
    """Return the images not kept that are farthest from what is kept in their place, with that."""
    standing = chosen.standing
    gone = np.flatnonzero(standing.representative != np.arange(len(chosen.split)))
    order = gone[np.argsort(-standing.distance[gone], kind="stable")][:most]
    return [
        (Picture.of(chosen, image), Picture.of(chosen, int(standing.representative[image])))
        for image in order.tolist()
    ]
