"""What `sparsify` must leave alone, and what a converted model refuses."""

import pytest
import torch
from test_convert import TILED, prune_linears, pruned
from torch import nn

from analysis.errors import RunError
from analysis.execution.convert import densify, kernels_of, sparsify
from analysis.execution.names import DENSE, TILED_CSR


def test_a_sparse_model_is_not_saved_without_its_weights(tmp_path):
    model = pruned("Bert")
    assert sparsify(model, TILED)
    with pytest.raises(RunError, match="cannot be saved; convert it back"):
        model.state_dict()
    with pytest.raises(RunError, match="cannot be saved"):
        model.save_pretrained(tmp_path)
    densify(model)
    model.save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").stat().st_size > 0


def test_torchs_own_encoder_layer_stays_dense_and_answers():
    torch.manual_seed(0)
    layer = prune_linears(nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)).eval()
    model = nn.ModuleDict({"layer": layer, "head": prune_linears(nn.Linear(32, 8))}).eval()
    x = torch.randn(2, 5, 32)
    with torch.inference_mode():
        before = layer(x)
        assert sparsify(model, TILED) == ["head"]
        assert torch.equal(layer(x), before)


def test_a_layer_in_two_places_stays_one_layer():
    shared = prune_linears(nn.Linear(16, 16))
    model = nn.ModuleDict({"one": shared, "other": shared, "own": prune_linears(nn.Linear(16, 16))})
    assert sparsify(model, TILED) == ["own"]
    assert model["one"] is model["other"] is shared


@pytest.mark.parametrize("asks", [True, False])
def test_dense_again_weights_ask_for_gradients_as_they_did(asks):
    model = pruned("GPT2").requires_grad_(asks)
    before = {name: p.requires_grad for name, p in model.named_parameters()}
    assert sparsify(model, TILED)
    densify(model)
    assert {name: p.requires_grad for name, p in model.named_parameters()} == before


def test_the_kernels_of_all_linear_layers_are_counted():
    model = nn.ModuleDict({"full": nn.Linear(16, 16), "own": prune_linears(nn.Linear(16, 16))})

    def small_ones_dense(matrix, bias, tokens):
        return DENSE if tokens == 1 else TILED_CSR

    sparsify(model, small_ones_dense, (1, 64))
    assert kernels_of(model, 1) == {DENSE: 2}
    assert kernels_of(model, 64) == {DENSE: 1, TILED_CSR: 1}
