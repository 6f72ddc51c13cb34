"""Renaming of published weights to the names they have here, by regular expressions."""

import re
from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

Rules = Sequence[tuple[str, str | Callable[[re.Match[str]], str]]]

KINDS = ("uv_vis", "ir", "raman")
"""Fixed slots of the released SpecFormer, in its order."""

RELEASED_KINDS = {"uv_vis": "uv", "ir": "ir", "raman": "raman"}
"""Our names of those slots → the released names."""

# Bases of SliDe's encoder by their released names: of distances, angles and torsions.
_BASES = {"rbf": "radial", "sbf": "angle", "t": "torsion"}

EQUIVARIANT_TRANSFORMER: Rules = (
    (r"^distance_expansion\.means$", "radial_basis.centers"),
    (r"^distance_expansion\.betas$", "radial_basis.betas"),
    (r"^attention_layers\.(\d+)\.layernorm\.", r"layers.\1.norm."),
    (r"^attention_layers\.", "layers."),
    (r"^x_norms\.", "scalar_norms."),
    (r"^vec_norms\.", "vector_norms."),
    (r"^out_norm_vec\.", "out_vector_norm."),
)
"""TorchMD-Net's equivariant transformer → :class:`molspectra.encoders.EquivariantTransformer`."""

GET: Rules = (
    (r"^distance_expansion\.means$", "radial_basis.centers"),
    (r"^distance_expansion\.betas$", "radial_basis.betas"),
    (r"^neighbor_embedding\.embedding\.", "neighbor_embedding."),
    (r"^neighbor_embedding\.distance_proj\.", "neighbor_filter."),
    (r"^neighbor_embedding\.combine\.", "combine."),
    (r"^emb\.dist_emb\.freq$", "edge_basis.frequencies"),
    (r"^init_e\.lin_rbf_0\.", "edge_embedding.radial."),
    (r"^init_e\.lin_rbf_1\.", "edge_embedding.gate."),
    (r"^init_e\.lin\.", "edge_embedding.combine."),
    (r"^update_es\.", "edge_updates."),
    (r"^(edge_updates\.\d+)\.lin_rbf\.", r"\1.out_gate."),
    (r"^(edge_updates\.\d+)\.lin_(rbf|sbf|t)1\.", lambda match: f"{match[1]}.{_BASES[match[2]]}.0."),
    (r"^(edge_updates\.\d+)\.lin_(rbf|sbf|t)2\.", lambda match: f"{match[1]}.{_BASES[match[2]]}.1."),
    (r"^(edge_updates\.\d+)\.lin_ji\.", r"\1.own."),
    (r"^(edge_updates\.\d+)\.lin_kj\.", r"\1.incoming."),
    (r"^(edge_updates\.\d+)\.lin_(down|up)\.", r"\1.\2."),
    (r"^(edge_updates\.\d+)\.lin\.", r"\1.skip."),
    (r"^(edge_updates\.\d+)\.layers_before_skip\.0\.", r"\1.before_skip."),
    (r"^(edge_updates\.\d+)\.layers_after_skip\.", r"\1.after_skip."),
    (r"^(edge_updates\.\d+.*)\.lin1\.", r"\1.first."),
    (r"^(edge_updates\.\d+.*)\.lin2\.", r"\1.second."),
    (r"^(edge_updates\.\d+)\.e0_norm\.", r"\1.state_norm."),
    (r"^(edge_updates\.\d+)\.e1_norm\.", r"\1.out_norm."),
    (r"^attention_layers\.(\d+)\.layernorm\.", r"layers.\1.norm."),
    (r"^attention_layers\.", "layers."),
    (r"^vec_norms\.", "vector_norms."),
    (r"^out_norm_vec\.", "out_vector_norm."),
)
"""SliDe's encoder, F2D or F2D-org → :class:`molspectra.encoders.GET` in its released arithmetic."""

GATED_HEAD: Rules = (
    (r"^output_network\.(\d+)\.vec1_proj\.", r"blocks.\1.norm_proj."),
    (r"^output_network\.(\d+)\.vec2_proj\.", r"blocks.\1.vector_proj."),
    (r"^output_network\.(\d+)\.update_net\.", r"blocks.\1.mlp."),
)
"""TorchMD-Net's equivariant output heads → :class:`molspectra.heads.ScalarHead` and `VectorHead`."""

NOISE_VECTOR_HEAD = re.compile(r"(model\.output_model_noise\.(?:\d+\.)?)output_network\.\d+\.vec\d_proj\.")
"""Noise head of atoms: alone, or in SliDe's list with heads for bonds, angles and torsions, which are MLPs."""

SET_ASIDE = re.compile(
    r"model\.(output_model_noise\.\d+\.|output_model_mask_atom\.|(angle_ijk|dihedral_jk)_proj\."
    r"|(bond|angle|dihedral|rotate_dihedral)_pos_normalizer\.|reg_dev_normalizer\.|d(mean|std)$)"
)
"""Parts of Frad's and SliDe's releases without counterpart here: heads, projections and normalizers for changes of
bonds, angles and torsions (in all files of SliDe, though in no loss) and for masked atoms, and scales of forces."""

SPECFORMER: Rules = (
    (r"^backbone\.W_P\.(\d+)\.", lambda match: f"patch_proj.{KINDS[int(match[1])]}."),
    (r"^backbone\.W_pos_uv$", "positions.uv_vis"),
    (r"^backbone\.W_pos_(ir|raman)$", r"positions.\1"),
    (r"^backbone\.encoder\.layers\.", "layers."),
    (r"^(layers\.\d+)\.self_attn\.W_([QKV])\.", lambda match: f"{match[1]}.{match[2].lower()}_proj."),
    (r"^(layers\.\d+)\.self_attn\.to_out\.0\.", r"\1.o_proj."),
    (r"^(layers\.\d+)\.norm_attn\.1\.", r"\1.attention_norm."),
    (r"^(layers\.\d+)\.norm_ffn\.1\.", r"\1.feedforward_norm."),
    (r"^(layers\.\d+)\.ff\.", r"\1.feedforward."),
    (r"^head\.linear\.", "out_proj."),
)
"""The released SpecFormer → :class:`molspectra.spectra.SpecFormer`."""

RECONSTRUCTION: Rules = ((r"^reconstruct_heads\.(\d+)\.", lambda match: f"projections.{KINDS[int(match[1])]}."),)
"""The released reconstruction heads → :class:`molspectra.spectra.PatchDecoder`."""

EGNN: Rules = (
    (r"^embedding_in\.", "embedding.linear."),
    (r"^gcl_(\d+)\.", r"layers.\1."),
    (r"^(layers\.\d+)\.edge_mlp\.0\.", r"\1.edge_in."),
    (r"^(layers\.\d+)\.edge_mlp\.2\.", r"\1.edge_mlp.1."),
    (r"^(layers\.\d+)\.att_mlp\.", r"\1.attention."),
    (r"^(layers\.\d+)\.node_ln\.", r"\1.norm."),
    (r"^(layers\.\d+)\.edge_ln\.", r"\1.message_norm."),
    (r"^final_ln\.", "out_norm."),
)
"""The released EGNN of 3D-EMGP → :class:`molspectra.encoders.EGNN` in its released arithmetic."""


def rename(state: Mapping[str, Tensor], rules: Rules) -> dict[str, Tensor]:
    """Apply all rules, in order, to every name. Names that no rule matches stay."""
    renamed = {}
    for name, tensor in state.items():
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        renamed[name] = tensor
    return renamed
