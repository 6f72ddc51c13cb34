"""Table of the published checkpoints: their addresses, contents and licenses."""

from molspectra.pretrained.card import Checkpoint

_LIGHTNING = "PyTorch Lightning checkpoint, for load_reference"
_COORD = "Zaidi et al. 2023, ICLR, arXiv:2206.00133"
_FRAD = "Feng et al. 2023, ICML, PMLR 202:9938-9961"
_FRAD_NMI = (
    "Enhancing molecular property prediction with chemical priors by fractional denoising (Frad, journal version)"
)
_SLIDE = "Ni et al. 2024, ICLR, Sliced Denoising: A Physics-Informed Molecular Pre-Training Method"
_EMGP = "Jiao et al. 2023, AAAI, arXiv:2207.08824"
_F2D = "Its encoder is F2D (GET), which carries features of edges, angles and torsions and is not implemented here."
_UNPUBLISHED = "Its authors published no weights. Pre-train with molspectra.methods, see the examples."
_FRAD_DATA = "PCQM4Mv2; torsion noise 2°, then coordinate noise 0.04 Å"
_SLIDE_SOURCE = "https://figshare.com/articles/software/Pre-trained_model_for_Sliced_Denoising_A_Physics-Informed_Molecular_Pre-Training_Method/25990648"
_SLIDE_DATA = "PCQM4Mv2; noise and energy of bonds, angles and torsions by OpenFF 2.0.0"

CHECKPOINTS: dict[str, Checkpoint] = {
    known.name: known
    for known in (
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
            status="not importable",
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
            status="not importable",
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
            license="MIT",
            trained_on="GEOM-QM9; 50 noise levels from 10 Å to 0.01 Å",
            format="tensors written by torch.save, for load_reference",
            citation=_EMGP,
            note="941,114 weights: EGNN, 7 layers, 128 channels.",
        ),
        Checkpoint(
            name="molspectra",
            method="MolSpectra",
            status="not published",
            source="https://github.com/AzureLeon1/MolSpectra",
            license="unknown: the repository has no license file",
            trained_on="PCQM4Mv2, then QM9S spectra",
            format=_LIGHTNING,
            citation="Wang et al. 2025, ICLR, arXiv:2502.16284",
            note=_UNPUBLISHED + " load_reference reads the files that its scripts write.",
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
