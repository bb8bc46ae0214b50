import numpy as np

from rayred.training.embedding_parts import EmbeddingParts, load_embeddings, save_embeddings


def test_parts_become_one_file_in_data_set_order(tmp_path, monkeypatch):
    monkeypatch.setattr("rayred.training.embedding_parts.PART_IMAGES", 40)
    whole = np.random.default_rng(0).standard_normal((97, 5), dtype=np.float32)
    parts = EmbeddingParts(tmp_path / "parts", len(whole))
    assert parts.ranges() == [(0, 40), (40, 80), (80, 97)]
    parts.keep((80, 97), whole[80:])
    parts.keep((0, 40), whole[:40])
    # A later run finds the parts of a killed one.
    left = EmbeddingParts(tmp_path / "parts", len(whole))
    assert left.missing() == [(40, 80)]
    left.keep((40, 80), whole[40:80])
    assert left.missing() == []
    save_embeddings(tmp_path / "embeddings.npy", left)
    read = load_embeddings(tmp_path / "embeddings.npy")
    assert isinstance(read, np.memmap)
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, whole)
