"""Molecular formula and monoisotopic mass, from atomic numbers or a SMILES."""

from collections import Counter

from jaxtyping import Int
from torch import Tensor

from molspectra._validation import checked
from molspectra.data.chemistry._rdkit import import_rdkit
from molspectra.data.chemistry.elements import SYMBOLS
from molspectra.data.chemistry.smiles import parse_smiles


@checked
def molecular_formula(molecule: Int[Tensor, " atoms"] | str) -> str:
    """Return the molecular formula in Hill order: carbon, hydrogen, and then the other elements by symbol.

    Args:
        molecule: Atomic numbers, all hydrogens among them, or a SMILES. The formula of an ion given as
            SMILES ends with its charge.

    Raises:
        ImportError: a SMILES is given, and RDKit is not installed.
        ValueError: the SMILES cannot be parsed, or a number is no element's.

    Example:
        >>> molecular_formula("CCO"), molecular_formula(torch.tensor([8, 1, 1])), molecular_formula("CC(=O)[O-]")
        ('C2H6O', 'H2O', 'C2H3O2-')
    """
    if isinstance(molecule, str):
        rdkit = import_rdkit("molecular_formula")
        return rdkit.Chem.rdMolDescriptors.CalcMolFormula(parse_smiles(molecule))
    counts = Counter(SYMBOLS[number - 1] for number in _checked_numbers(molecule))
    first = ["C", "H"] if "C" in counts else []
    order = first + sorted(counts.keys() - set(first))
    return "".join(f"{symbol}{counts[symbol] if counts[symbol] > 1 else ''}" for symbol in order if counts[symbol])


@checked
def monoisotopic_mass(molecule: Int[Tensor, " atoms"] | str) -> float:
    """Return the mass in Da of the molecule made of the most abundant isotope of each element.

    Isotopes that a SMILES names ([2H], [13C]) count as themselves. The masses are RDKit's. The electrons that an ion
    lacks or has in excess are not counted: they weigh 0.00055 Da each.

    Args:
        molecule: Atomic numbers, all hydrogens among them, or a SMILES.

    Raises:
        ImportError: RDKit is not installed.
        ValueError: the SMILES cannot be parsed, or a number is no element's.

    Example:
        >>> round(monoisotopic_mass("CCO"), 5), round(monoisotopic_mass(torch.tensor([8, 1, 1])), 5)
        (46.04186, 18.01056)
    """
    rdkit = import_rdkit("monoisotopic_mass")
    if isinstance(molecule, str):
        return rdkit.Chem.rdMolDescriptors.CalcExactMolWt(parse_smiles(molecule))
    table = rdkit.Chem.GetPeriodicTable()
    return sum(table.GetMostCommonIsotopeMass(number) for number in _checked_numbers(molecule))


def _checked_numbers(numbers: Int[Tensor, " atoms"]) -> list[int]:
    """Return atomic numbers as a list.

    Raises:
        ValueError: one is no element's.
    """
    listed: list[int] = numbers.tolist()
    wrong = [number for number in listed if not 1 <= number <= len(SYMBOLS)]
    if wrong:
        raise ValueError(f"Atomic numbers must be 1..{len(SYMBOLS)}; got {wrong[0]}. Leave padding out.")
    return listed
