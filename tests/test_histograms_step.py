"""Histograms of pruned checkpoints are those of their weights, counted one by one."""

import numpy as np
from safetensors.numpy import save_file

from analysis.objects import Objects
from analysis.pruning.masks import Pruned, write_pruned
from analysis.steps.histograms import histograms_of_masked


def test_histograms_count_what_the_masks_leave(tmp_path):
    generator = np.random.default_rng(0)
    weights = {
        "h.0.mlp.c_fc.weight": generator.standard_normal((8, 12)).astype(np.float32),
        "wte.weight": generator.standard_normal((20, 8)).astype(np.float32),
        "h.0.attn.bias": np.ones((4, 4), np.float32),  # a buffer
    }
    objects = Objects(tmp_path / "objects")
    folder = tmp_path / "model"
    folder.mkdir()
    save_file(weights, folder / "model.safetensors")
    keep = np.abs(weights["h.0.mlp.c_fc.weight"]) > 1
    write_pruned(tmp_path / "masks", Pruned({"h.0.mlp.c_fc.weight": keep}), "")
    arguments = {
        "masks": [None, objects.adopt(tmp_path / "masks")],
        "checkpoint": objects.adopt(folder),
    }
    found = histograms_of_masked(objects, weights_sha256="", **arguments)["histograms"]
    for rows, mask in zip(found, (np.ones_like(keep), keep), strict=True):
        left = np.concatenate(
            [(weights["h.0.mlp.c_fc.weight"] * mask).ravel(), weights["wte.weight"].ravel()]
        ).astype(float)
        for scale, values in (("linear", left), ("log10", np.abs(left[left != 0]))):
            bins = [row for row in rows if row["scale"] == scale]
            assert sum(row["count"] for row in bins) == values.size
            for row in bins:
                expected = np.sum((values >= row["left"]) & (values < row["right"]))
                # zeros lie on an edge of the linear scale
                assert row["count"] == expected or 0 in (row["left"], row["right"])
