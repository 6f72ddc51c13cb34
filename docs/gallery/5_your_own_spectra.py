"""
Your own IR, UV-Vis, NMR and mass spectra
=========================================

From files of instruments to one encoder of all of them.
"""

# %%
# A kind of spectrum is a name and a grid. Any grid will do.

from pathlib import Path
from tempfile import mkdtemp

import torch

import molspectra as ms

axes = {
    "ir": ms.data.IR,
    "uv_vis": ms.data.SpectrumAxis("uv_vis", 2.0, 6.0, 0.02, "eV"),
    "h_nmr": ms.data.SpectrumAxis("h_nmr", 0.0, 12.0, 0.005, "ppm"),
    "ms": ms.data.SpectrumAxis("ms", 50, 300, 1, "m/z"),
}
# measured spectra, in a clone of the repository
samples = Path(ms.__file__).parents[1] / "tests" / "fixtures" / "files" / "jcamp"

# %%
# Infrared, JCAMP-DX
# ------------------
# The file declares transmittance and holds percents. Nothing is guessed in silence: the error names the remedy.

try:
    ms.data.read_jcamp(samples / "ethanol2.jdx", axes["ir"])
except ValueError as error:
    print(error)

# %%
# Transmittance becomes absorbance, on the axis. Below 600 cm⁻¹ the instrument measured nothing: the samples are NaN, a
# gap that the encoder leaves out.

ir = ms.data.read_jcamp(
    samples / "ethanol2.jdx", axes["ir"], y_unit="percent_transmittance"
)
ms.plots.spectrum(ir, axes["ir"])
print(f"{ir.isnan().sum()} samples were not measured")

# %%
# UV-Vis, a table
# ---------------
# Spectrometers write wavelengths, and the axis is in eV. The unit is read from the header. A band at 340 nm stands for
# a measurement here.

folder = Path(mkdtemp())
wavelengths = torch.arange(210, 601, 1.0)
band = 0.8 * torch.exp(-(((wavelengths - 340) / 25) ** 2))
lines = [
    f"{x:.0f},{y:.5f}" for x, y in zip(wavelengths.tolist(), band.tolist(), strict=True)
]
(folder / "uv.csv").write_text("\n".join(["Wavelength (nm),Abs", *lines]))
uv_vis = ms.data.read_spectrum_table(folder / "uv.csv", axes["uv_vis"])
ms.plots.spectrum(uv_vis, axes["uv_vis"])
maximum = axes["uv_vis"].grid[uv_vis.nan_to_num().argmax()]
print(f"maximum at {maximum:.2f} eV; 340 nm are {1239.84 / 340:.2f} eV")

# %%
# NMR, JCAMP-DX
# -------------
# A proton spectrum of 2-methyl-1-propanol, measured at 300 MHz.

h_nmr = ms.data.read_jcamp(samples / "2Methyl1Propanol.jdx", axes["h_nmr"])
ms.plots.spectrum(h_nmr, axes["h_nmr"])

# %%
# Mass spectra, lists of peaks
# ----------------------------
# A list of peaks is no curve. `read_peak_list` adds every peak to its bin, and nothing between them. This record of
# amiloride is MSBNK-HBM4EU-HB000104 of MassBank (CC0).

(folder / "amiloride.msp").write_text(
    """NAME: Amiloride
PRECURSORMZ: 230.0552
Num Peaks: 10
86.0349 59282.7
143.0119 7887.2
145.0276 20834.4
170.0232 9872.2
171.0069 1271685.4
188.0335 167226.8
189.0175 31427.7
196.0026 6882.8
213.0288 258368.2
230.0552 5619710
"""
)
mass = ms.data.read_peak_list(folder / "amiloride.msp", axes["ms"])
ms.plots.spectrum(mass, axes["ms"])
print(f"{(mass > 0).sum()} bins of {mass.shape[1]} hold a peak")

# %%
# One encoder for all
# -------------------
# Intensities of instruments have no common scale, so each spectrum is divided by its maximum. Four molecules follow,
# each with one spectrum. Rows of NaN are missing spectra, which do not change the features of the others.

scale = ms.data.PerSpectrumScaling("max")
measured = {"ir": ir, "uv_vis": uv_vis, "h_nmr": h_nmr, "ms": mass}
spectra = {kind: torch.full((4, axis.length), torch.nan) for kind, axis in axes.items()}
for row, (kind, spectrum) in enumerate(measured.items()):
    spectra[kind][row] = spectrum
specformer = ms.spectra.SpecFormer(
    axes, hidden_channels=64, num_heads=8, scaling=scale
).eval()
features = specformer(spectra)
features

# %%
# `valid` tells which tokens stand for a measured patch.

features.valid.sum(dim=1)
