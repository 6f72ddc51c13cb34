"""Published weights as modules of ours, shared by the parity tests."""

import json

from safetensors.torch import load_file

from molspectra.encoders import EquivariantTransformer
from molspectra.heads import ScalarHead
from molspectra.pretrained.reference.keymaps import EQUIVARIANT_TRANSFORMER, GATED_HEAD, rename


class PublishedTransformer:
    """Weights, inputs and outputs of the published implementations."""

    def __init__(self, folder):
        self.folder = folder
        self.config = json.loads((folder / "config.json").read_text())
        self.batches = load_file(folder / "batches.safetensors")

    def encoder(self, variant, dtype):
        arguments = self.config["kwargs"][variant]
        # The variant without whitening was computed with the weights of the one with it.
        state = load_file(self.folder / f"{variant.removesuffix('_novecnorm')}.state_dict.safetensors")
        if arguments["layernorm_on_vec"] is None:
            del state["out_norm_vec.weight"]
        encoder = EquivariantTransformer(
            arguments["hidden_channels"],
            arguments["num_layers"],
            arguments["num_heads"],
            arguments["num_rbf"],
            arguments["cutoff_upper"],
            max_z=arguments["max_z"] - 1,
            vector_norm=arguments["layernorm_on_vec"],
            norm_every_layer=arguments.get("use_dataset_md17") is False,
            as_released=True,
        )
        encoder.load_state_dict(rename(state, EQUIVARIANT_TRANSFORMER))
        return encoder.to(dtype)

    def inputs(self, batch, dtype):
        pos = self.batches[f"{batch}.pos"].to(dtype).requires_grad_()
        return self.batches[f"{batch}.z"], pos, self.batches[f"{batch}.batch"]

    def scalar_head(self, reduce, dtype):
        heads = load_file(self.folder / "heads.safetensors")
        prefix = "EquivariantScalar.weights."
        state = {name.removeprefix(prefix): tensor for name, tensor in heads.items() if name.startswith(prefix)}
        channels = self.config["config"]["hidden_channels"]
        head = ScalarHead(channels, mean=-3.25, std=1.75, reduce=reduce, as_released=True)
        head.load_state_dict(rename(state, GATED_HEAD))
        return head.to(dtype)
