"""Checks of arguments and data, and the texts of their errors: name, expected, received, remedy.

Checks of shapes and dtypes cost nothing and always run. Checks of *values* (an atomic number out of range, a NaN) would
make an accelerator wait, so that inside a forward they run for CPU tensors only. :func:`molspectra.data.validate` runs
them on any device, once, before training.
"""

from molspectra._validation.arguments import (
    check_channels,
    check_choice,
    check_heads,
    check_module_names,
    check_probability,
    check_sizes,
    check_std,
    check_weights,
)
from molspectra._validation.bonds import check_bonds, refuse_bonds
from molspectra._validation.calls import bind, check_arguments, checked, needs, refuse_nan
from molspectra._validation.molecules import check_fields, check_molecule_list, check_molecules, check_positions
from molspectra._validation.peaks import check_peak_mask, check_peaks, check_precursor
from molspectra._validation.roles import check_role
from molspectra._validation.spectra import check_spectra, lengths_of
from molspectra._validation.tensors import (
    check_context,
    check_dtype,
    check_generator,
    check_same_shape,
    check_tensor,
    check_tensors,
    check_tensors_by_kind,
)
from molspectra._validation.values import values_are_free

__all__ = [
    "bind",
    "check_arguments",
    "check_bonds",
    "check_channels",
    "check_choice",
    "check_context",
    "check_dtype",
    "check_fields",
    "check_generator",
    "check_heads",
    "check_module_names",
    "check_molecule_list",
    "check_molecules",
    "check_peak_mask",
    "check_peaks",
    "check_positions",
    "check_precursor",
    "check_probability",
    "check_role",
    "check_same_shape",
    "check_sizes",
    "check_spectra",
    "check_std",
    "check_tensor",
    "check_tensors",
    "check_tensors_by_kind",
    "check_weights",
    "checked",
    "lengths_of",
    "needs",
    "refuse_bonds",
    "refuse_nan",
    "values_are_free",
]
