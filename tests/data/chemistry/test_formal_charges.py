"""Formal charges from bonds, on molecules written out by hand; many more go through RDKit in test_conversion.py."""

import pytest

from molspectra.data.chemistry.formal_charges import infer_formal_charges


def ring(numbers, hydrogens):
    """An aromatic ring, hydrogens on the atoms named."""
    size = len(numbers)
    bonds = [(min(i, (i + 1) % size), max(i, (i + 1) % size), 1.5) for i in range(size)]
    return numbers + [1] * len(hydrogens), bonds + [(atom, size + number, 1) for number, atom in enumerate(hydrogens)]


@pytest.mark.parametrize(
    ("numbers", "bonds", "charges"),
    [
        ([], [], []),
        ([1], [], [1]),
        ([1, 1], [(0, 1, 1)], [0, 0]),
        ([11], [], [1]),
        ([20], [], [2]),
        ([13], [], [3]),
        ([35], [], [-1]),
        ([16], [], [-2]),
        ([7], [], [-3]),
        ([54], [], [0]),
        ([26], [], [0]),
        ([6, 8], [(0, 1, 3)], [-1, 1]),
        ([6, 8], [(0, 1, 2)], [0, 0]),
        ([6, 7, 6, 1, 1, 1], [(0, 1, 1), (1, 2, 3), (0, 3, 1), (0, 4, 1), (0, 5, 1)], [0, 1, -1, 0, 0, 0]),
        ([7, 7, 7], [(0, 1, 2), (1, 2, 2)], [-1, 1, -1]),
        ([1, 7, 7, 7], [(0, 1, 1), (1, 2, 2), (2, 3, 2)], [0, 0, 1, -1]),
        ([1, 7, 8, 8], [(0, 1, 1), (1, 2, 2), (1, 3, 1)], [0, 1, 0, -1]),
        ([7, 1, 1, 1, 1], [(0, i, 1) for i in range(1, 5)], [1, 0, 0, 0, 0]),
        ([8, 1, 1, 1], [(0, i, 1) for i in range(1, 4)], [1, 0, 0, 0]),
        ([5, 9, 9, 9, 9], [(0, i, 1) for i in range(1, 5)], [-1, 0, 0, 0, 0]),
        ([15, *[9] * 6], [(0, i, 1) for i in range(1, 7)], [-1, *[0] * 6]),
        ([16, *[9] * 6], [(0, i, 1) for i in range(1, 7)], [0] * 7),
        ([16, 8, 8, 8, 8], [(0, 1, 2), (0, 2, 2), (0, 3, 1), (0, 4, 1)], [0, 0, 0, -1, -1]),
        ([16, 1, 1, 1], [(0, i, 1) for i in range(1, 4)], [1, 0, 0, 0]),
        ([53, 9, 9, 9], [(0, i, 1) for i in range(1, 4)], [0] * 4),
        ([6, 1, 1, 1], [(0, i, 1) for i in range(1, 4)], [-1, 0, 0, 0]),
        (*ring([6] * 6, range(6)), [0] * 12),
        (*ring([7] + [6] * 5, range(1, 6)), [0] * 11),
        (*ring([7] + [6] * 5, range(6)), [1] + [0] * 11),
        (*ring([7] + [6] * 4, range(5)), [0] * 10),
        (*ring([7] + [6] * 4, range(1, 5)), [-1] + [0] * 8),
        (*ring([8] + [6] * 5, range(1, 6)), [1] + [0] * 10),
        (*ring([6] * 6, range(1, 6)), [-1] + [0] * 10),
    ],
)
def test_charges(numbers, bonds, charges):
    assert infer_formal_charges(numbers, bonds) == charges


@pytest.mark.parametrize(("size", "total"), [(3, 1), (5, -1), (7, 1), (9, -1)])
def test_charge_of_a_carbon_ring_follows_hueckel(size, total):
    charges = infer_formal_charges(*ring([6] * size, range(size)))
    assert sum(charges) == total
    assert sorted(map(abs, charges)) == [0] * (2 * size - 1) + [1]


def test_what_cannot_be_an_aromatic_ring_is_left_neutral():
    assert infer_formal_charges([6, 6, 1, 1, 1, 1], [(0, 1, 1.5), *((i // 4, i, 1) for i in range(2, 6))]) == [0] * 6
