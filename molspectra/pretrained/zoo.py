"""Table of the checkpoints of the package and the published ones: their addresses, contents and licenses."""

from molspectra.pretrained.card import Checkpoint
from molspectra.pretrained.reading import Reading

_LIGHTNING = "PyTorch Lightning checkpoint, for load_reference"
_TENSORS = "tensors written by torch.save, for load_reference"
_DIRECTORY = "directories of molspectra.pretrained.save"
_OURS = "recipes/pretrain_encoder.py and recipes/pretrain_molspectra.py of this project"
_OUR_GEOMETRIES = "48,154 geometries of molecules of QM9, MMFF94 and GFN2-xTB; coordinate noise 0.04 to 0.4 Å"
_MOLSPECTRA = "Wang et al. 2025, ICLR, arXiv:2502.16284"
_COORD = "Zaidi et al. 2023, ICLR, arXiv:2206.00133"
_FRAD = "Feng et al. 2023, ICML, PMLR 202:9938-9961"
_FRAD_NMI = (
    "Enhancing molecular property prediction with chemical priors by fractional denoising (Frad, journal version)"
)
_SLIDE = "Ni et al. 2024, ICLR, Sliced Denoising: A Physics-Informed Molecular Pre-Training Method"
_EMGP = "Jiao et al. 2023, AAAI, arXiv:2207.08824"
_F2D = "SliDe's own encoder, molspectra.encoders.GET. About half of the torsions in its release are rounding noise."
_UNPUBLISHED = "Its authors published no weights. Pre-train with molspectra.methods, see the examples."
_FRAD_DATA = "PCQM4Mv2; torsion noise 2°, then coordinate noise 0.04 Å"
_SLIDE_SOURCE = "https://figshare.com/articles/software/Pre-trained_model_for_Sliced_Denoising_A_Physics-Informed_Molecular_Pre-Training_Method/25990648"
_SLIDE_DATA = "PCQM4Mv2; noise and energy of bonds, angles and torsions by OpenFF 2.0.0"


def _emgp_baseline(name: str, method: str, task: str, size: int, sha256: str, note: str = "") -> Checkpoint:
    """Return the facts about a baseline that the authors of 3D-EMGP trained on the same encoder."""
    vectors = "" if name == "pospred" else " Its vectors are untrained."
    return Checkpoint(
        name=f"emgp-{name}",
        method=method,
        status="fetched",
        source="https://github.com/jiaor17/3D-EMGP",
        url=f"https://raw.githubusercontent.com/jiaor17/3D-EMGP/1e5ec97035500dfdfec4f39524d0a9c5f3a8fe3b/checkpoints/checkpoint-{name}",
        size=size,
        sha256=sha256,
        license="MIT",
        trained_on=f"GEOM-QM9; {task}",
        format=_TENSORS,
        citation=_EMGP,
        note=f"Baseline of 3D-EMGP by its authors: EGNN, 7 layers, 128 channels.{vectors}{note}",
    )


CHECKPOINTS: dict[str, Checkpoint] = {
    known.name: known
    for known in (
        Checkpoint(
            name="coord-mini",
            method="Coord",
            status="shipped",
            source=_OURS,
            license="CC0 1.0",
            trained_on=_OUR_GEOMETRIES,
            format=_DIRECTORY,
            citation=_COORD,
            reading=Reading("all", "mean+sum"),
        ),
        Checkpoint(
            name="molspectra-mini",
            method="MolSpectra",
            status="shipped",
            source=_OURS,
            license="CC0 1.0",
            trained_on=_OUR_GEOMETRIES + "; then infrared and Raman spectra of 9,926 molecules, by GFN2-xTB",
            format=_DIRECTORY,
            citation=_MOLSPECTRA,
            reading=Reading("all", "mean+sum"),
        ),
        Checkpoint(
            name="coord-pcqm4mv2",
            method="Coord",
            status="fetched",
            source="https://github.com/shehzaidi/pre-training-via-denoising",
            url="https://github.com/shehzaidi/pre-training-via-denoising/raw/HEAD/checkpoints/denoised-pcqm4mv2.ckpt",
            license="MIT",
            trained_on="PCQM4Mv2; coordinate noise 0.04 Å",
            format=_LIGHTNING,
            citation=_COORD,
        ),
        Checkpoint(
            name="frad-qm9",
            method="Frad",
            status="by hand",
            source="https://drive.google.com/file/d/1O6f6FzYogBS2Mp4XsdAAEN4arLtLH38G/view",
            license="MIT",
            trained_on=_FRAD_DATA,
            format=_LIGHTNING,
            citation=_FRAD,
            note="Meant for fine-tuning on QM9.",
        ),
        Checkpoint(
            name="frad-md17",
            method="Frad",
            status="by hand",
            source="https://drive.google.com/file/d/19slj94zSjOsNDYagwYfxfrsylRuwx3Hp/view",
            license="MIT",
            trained_on=_FRAD_DATA,
            format=_LIGHTNING,
            citation=_FRAD,
            note="Meant for fine-tuning on MD17.",
        ),
        Checkpoint(
            name="frad-nmi-qm9",
            method="Frad",
            status="by hand",
            source="https://zenodo.org/records/12697467",
            license="MIT",
            trained_on="PCQM4Mv2",
            format=_LIGHTNING,
            citation=_FRAD_NMI,
            note="Meant for fine-tuning on QM9; one of the files of that record.",
        ),
        Checkpoint(
            name="frad-nmi-forces",
            method="Frad",
            status="by hand",
            source="https://zenodo.org/records/12697467",
            license="MIT",
            trained_on="PCQM4Mv2; coordinate noise 0.4 Å by the released settings, 0.04 Å by the paper",
            format=_LIGHTNING,
            citation=_FRAD_NMI,
            note="Meant for fine-tuning on forces (MD17, MD22, ISO17); one of the files of that record.",
        ),
        Checkpoint(
            name="slide-qm9",
            method="SliDe",
            status="by hand",
            source=_SLIDE_SOURCE,
            license="MIT",
            trained_on=_SLIDE_DATA,
            format=_LIGHTNING,
            citation=_SLIDE,
            note=_F2D,
        ),
        Checkpoint(
            name="slide-md17",
            method="SliDe",
            status="by hand",
            source=_SLIDE_SOURCE,
            license="MIT",
            trained_on=_SLIDE_DATA + "; and coordinate noise 0.04 Å",
            format=_LIGHTNING,
            citation=_SLIDE,
            note=_F2D,
        ),
        Checkpoint(
            name="3d-emgp",
            method="3D-EMGP",
            status="fetched",
            source="https://github.com/jiaor17/3D-EMGP",
            url="https://raw.githubusercontent.com/jiaor17/3D-EMGP/7872f19faa1bc3d86d3586213f693ffe0ef46b59/checkpoints/checkpoint-3dmgp",
            sha256="5a2671567691023295f6eab2779ba44ecaef47ca2d615c771a20422fcb42edd1",
            license="MIT",
            trained_on="GEOM-QM9; 50 noise levels from 10 Å to 0.01 Å",
            format=_TENSORS,
            citation=_EMGP,
            note="941,114 weights: EGNN, 7 layers, 128 channels.",
        ),
        _emgp_baseline(
            "attrmask",
            "AttrMask",
            "types of masked atoms",
            3565912,
            "d01de219a4fbbc3d358aed3c927486e876a96a94067739e9e727739ed4103e5e",
            " Features reach 287 and need standardization.",
        ),
        _emgp_baseline(
            "edgepred",
            "EdgePred",
            "pairs of atoms with a bond, and without",
            3580376,
            "8b0bccd5247488f37cf5379fb88dccd800a873e861d30a6223f6e93f12065717",
            " Ill-conditioned: float32 resolves 2e-4 of its largest feature.",
        ),
        _emgp_baseline(
            "gcc",
            "GCC",
            "contrast of random walks from one atom",
            3576130,
            "a40a26468266c84c532ff58ce3e493ecc10153544bf05a390543d156bb8fcbad",
        ),
        _emgp_baseline(
            "gpt",
            "GPT-GNN",
            "type of the next atom of a growing molecule",
            3699516,
            "750732718a73585283826b884db178864a579a133408f77da75c69a349886b98",
        ),
        _emgp_baseline(
            "graphcl",
            "GraphCL",
            "contrast of augmented molecules",
            3580376,
            "dceda62560a741b74046150481d3df5749be74fcb3182bd64b4d72ffae0dfe4e",
        ),
        _emgp_baseline(
            "infograph",
            "InfoGraph",
            "contrast of atoms and molecules",
            3713916,
            "254d6f16ac7ecab0195f52967f2523a5e7f32518f6f6485f48aa36679169d2b3",
        ),
        _emgp_baseline(
            "joao",
            "JOAO",
            "contrast of augmented molecules, augmentations chosen in training",
            3576130,
            "5e10976d3897f95bd72e2e25fbdc4bafefecbabd3291e8b0619d9b67027d078e",
        ),
        _emgp_baseline(
            "joaov2",
            "JOAOv2",
            "contrast as in JOAO, with a head for each augmentation",
            4110239,
            "45532f6f79854eef83ee95192b7629b9a62ce4ffb6bf37943191244c67979d2c",
        ),
        _emgp_baseline(
            "pospred",
            "PosPred",
            "positions of masked atoms",
            3446708,
            "849f6ea43ada2bd0ed6a1297c3113573f645eacf67e69c102ac53d220c290d5e",
        ),
        Checkpoint(
            name="molspectra",
            method="MolSpectra",
            status="not published",
            source="https://github.com/AzureLeon1/MolSpectra",
            license="unknown: the repository has no license file",
            trained_on="PCQM4Mv2, then QM9S spectra",
            format=_LIGHTNING,
            citation=_MOLSPECTRA,
            note=_UNPUBLISHED + " load_reference reads the files that its scripts write.",
        ),
        Checkpoint(
            name="scd-pcqm4mv2",
            method="SCD",
            status="not importable",
            source="https://huggingface.co/Ty-Perez/ct-scd-pcq",
            license="unknown for the weights; MIT for the repository",
            trained_on="PCQM4Mv2; coordinate noise 0.04 Å",
            format=_LIGHTNING,
            citation="Perez & Gómez-Bombarelli 2026, arXiv:2603.17196",
            note="Its encoder is modulated by the condition, has a norm of vectors that breaks rotation, and is not "
            "implemented here.",
        ),
        Checkpoint(
            name="empp",
            method="EMPP",
            status="not published",
            source="https://github.com/ajy112/EMPP",
            license="unknown: the repository has no license file",
            trained_on="unknown",
            format="unknown",
            citation="An et al. 2025, ICLR, arXiv:2502.08209",
            note=_UNPUBLISHED,
        ),
    )
}
"""Name → facts about a checkpoint."""
