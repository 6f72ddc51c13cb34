"""Ablations of MolSpectra: stage 2 without one part, or with other settings, from the same stage 1.

The ablations of the paper (arXiv:2502.16284, §5) on MiniSpectra: without masked reconstruction, without contrast,
without each kind of spectrum, with other patches and mask ratios, and with masks of whole overlapping patches (as
released) instead of intervals.

    python examples/01_two_stage_pretraining.py
    python examples/13_ablations.py
"""

import argparse
import runpy
import time
from pathlib import Path

import evaluation
import torch

import molspectra as ms

DEMO = runpy.run_path(str(Path(__file__).with_name("01_two_stage_pretraining.py")))
KINDS = ("uv_vis", "ir", "raman")
PATCHES = {"uv_vis": 20, "ir": 50, "raman": 50}
UNITS = {"uv_vis": 0.1, "ir": 0.01, "raman": 0.01}
FULL = {"kinds": KINDS, "patch_len": PATCHES, "overlap": 2, "mask_ratio": 0.1, "mode": "interval", "weights": {}}
ABLATIONS = {
    "MolSpectra": {},
    "without reconstruction": {"weights": {"reconstruction": 0.0}},
    "without contrast": {"weights": {"contrastive": 0.0}},
    "without UV-Vis": {"kinds": ("ir", "raman")},
    "without IR": {"kinds": ("uv_vis", "raman")},
    "without Raman": {"kinds": ("uv_vis", "ir")},
    "patches half as long": {"patch_len": {kind: size // 2 for kind, size in PATCHES.items()}},
    "patches twice as long": {"patch_len": {kind: size * 2 for kind, size in PATCHES.items()}},
    "patches that do not overlap": {"overlap": 1},
    "mask ratio 0.3": {"mask_ratio": 0.3},
    "mask ratio 0.5": {"mask_ratio": 0.5},
    "whole patches hidden": {"mode": "patch"},
}


def make_method(kinds, patch_len, overlap, mask_ratio, mode, weights) -> ms.methods.MolSpectra:
    specformer = ms.spectra.SpecFormer(
        lengths={kind: ms.data.MiniSpectra.axes[kind] for kind in kinds},
        patch_len={kind: patch_len[kind] for kind in kinds},
        stride={kind: patch_len[kind] // overlap for kind in kinds},
        hidden_channels=64,
        num_layers=2,
        num_heads=4,
        out_channels=DEMO["CHANNELS"],
        scaling={kind: ms.data.Log10Scaling(UNITS[kind]) for kind in kinds},
    )
    return ms.methods.MolSpectra(
        DEMO["DENOISING"]["coord"](),
        specformer,
        mask_ratio=mask_ratio,
        mask_mode=mode,
        contrast=ms.objectives.InfoNCELoss(temperature=0.2),
        weights=None if not weights else {"denoising": 1.0, "contrastive": 1.0, "reconstruction": 1.0} | weights,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pretrained", type=Path, default=Path("runs/two_stage_pretraining"))
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=ABLATIONS, default=list(ABLATIONS), metavar="ABLATION")
    parser.add_argument("--split", choices=("test", "validation"), default="test", help="split to evaluate on")
    arguments = parser.parse_args()

    started = time.perf_counter()
    print(f"{'':30}spectrum → molecule, top 1 / 5   gap in eV: {arguments.split} / 10 folds")
    for name in arguments.only:
        torch.manual_seed(arguments.seed)
        encoder = ms.pretrained.load(arguments.pretrained / f"seed{arguments.seed}" / "encoder_stage1").to(
            DEMO["DEVICE"]
        )
        method = make_method(**{**FULL, **ABLATIONS[name]}).to(DEMO["DEVICE"])
        encoder.train()
        molecules = ms.data.MiniSpectra("train", transform=DEMO["hide_some_kinds"])
        generator = torch.Generator(DEMO["DEVICE"]).manual_seed(arguments.seed)
        DEMO["train"](method, encoder, molecules, arguments.epochs, 1e-3, generator, name)
        found = evaluation.retrieval(encoder, method, arguments.split)
        gap = evaluation.gap_error(encoder, arguments.split)
        top = (found["spectrum → molecule, top 1"], found["spectrum → molecule, top 5"])
        print(f"{name:30}{top[0]:.3f} / {top[1]:.3f}                    {gap['gap']:.3f} / {gap['gap, 10 folds']:.3f}")
    print(f"{(time.perf_counter() - started) / 60:.1f} minutes on {DEMO['DEVICE']}")


if __name__ == "__main__":
    main()
