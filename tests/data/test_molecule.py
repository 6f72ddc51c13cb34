"""`validate`: what passes, and what each mistake is answered."""

import pytest
import torch
from torch_geometric.data import Batch, Data

from molspectra.data import MiniSpectra, validate


def water() -> Data:
    return Data(
        z=torch.tensor([8, 1, 1]),
        pos=torch.tensor([[0.0, 0.0, 0.12], [0.0, 0.76, -0.48], [0.0, -0.76, -0.48]]),
        bond_index=torch.tensor([[0, 0], [1, 2]]),
        bond_order=torch.ones(2),
        ir=torch.rand(1, 8),
    )


def changed(**fields) -> Data:
    data = water()
    for name, value in fields.items():
        if value is None:
            del data[name]
        else:
            data[name] = value
    return data


NAN_ROW = torch.full((1, 8), torch.nan)


@pytest.mark.parametrize(
    "data",
    [
        water(),
        changed(bond_order=None),
        changed(bond_index=None, bond_order=None),
        changed(bond_index=torch.empty(2, 0, dtype=torch.int64), bond_order=torch.empty(0)),
        changed(ir=NAN_ROW),
        changed(pos=torch.zeros(3, 3)),  # coincident atoms are inputs
        changed(pos=water().pos.double(), ir=torch.rand(1, 8).double()),
        Data(z=torch.tensor([11]), pos=torch.zeros(1, 3)),
        Batch.from_data_list([water(), changed(ir=NAN_ROW), water()]),
        Batch.from_data_list([water()]),
    ],
)
def test_accepts(data):
    before = {key: value.clone() for key, value in data.to_dict().items() if isinstance(value, torch.Tensor)}
    assert validate(data) is None
    assert all(torch.equal(data[key].nan_to_num(7), value.nan_to_num(7)) for key, value in before.items())


def test_accepts_the_sample_data_set():
    validate(Batch.from_data_list(list(MiniSpectra("all"))))


TWO = torch.tensor([[0, 0], [1, 2]])


@pytest.mark.parametrize(
    ("fields", "error", "match"),
    [
        ({"z": None}, ValueError, r"data must have a tensor z; its fields are \[.*'pos'.*Set data.z"),
        ({"pos": None}, ValueError, "data must have a tensor pos"),
        ({"z": torch.tensor([8.0, 1.0, 1.0])}, TypeError, r"z must be an int64 tensor.*Convert with z.long\(\)"),
        ({"z": torch.tensor([8, 1, 0])}, ValueError, r"z must lie in 1..118.*got values from 0 to 8"),
        ({"z": torch.tensor([8, 1, 119])}, ValueError, "larger max_z"),
        ({"pos": torch.zeros(3, 2)}, ValueError, r"pos must have shape \(3, 3\) to match z; got \(3, 2\)"),
        ({"pos": torch.full((3, 3), torch.nan)}, ValueError, "pos must be finite; atom 0"),
        ({"bond_index": None}, ValueError, "bond_order needs bond_index"),
        (
            {"angle_index": torch.zeros(4, 1).long()},
            ValueError,
            r"angle_index must be int64 of shape \(3, n\).*got.*AddTop",
        ),
        ({"angle_index": torch.tensor([[0], [1], [3]])}, ValueError, r"angle_index must hold atoms 0..2; got 0 to 3"),
        ({"angle_k": torch.ones(1)}, ValueError, "angle_k needs angle_index"),
        (
            {"bond_k": torch.ones(3)},
            ValueError,
            r"bond_k must have shape \(2,\), one finite.*got \(3,\).*ForceConstants",
        ),
        ({"bond_k": torch.tensor([1.0, torch.nan])}, ValueError, r"bond_k must have shape \(2,\), one finite"),
        ({"bond_index": TWO.int()}, TypeError, r"bond_index must be int64; got torch.int32. Convert with"),
        ({"bond_index": torch.tensor([[0, 1], [0, 2], [1, 2]])}, ValueError, r"shape \(2, B\).*got \(3, 2\).*\.t\(\)"),
        (
            {"bond_index": torch.tensor([[0, 0], [1, 3]])},
            ValueError,
            r"atoms 0..2; got bond 1 = \(0, 3\). Number atoms",
        ),
        ({"bond_index": torch.tensor([[0, -1], [1, 2]])}, ValueError, r"atoms 0..2; got bond 1 = \(-1, 2\)"),
        ({"bond_index": torch.tensor([[0, 2], [1, 0]])}, ValueError, r"i < j; got bond 1 = \(2, 0\). Sort each"),
        ({"bond_index": torch.tensor([[0, 2], [1, 2]])}, ValueError, r"i < j; got bond 1 = \(2, 2\)"),
        ({"bond_index": torch.tensor([[0, 0], [2, 2]])}, ValueError, r"once.*again; got bond 0 = \(0, 2\). Drop"),
        ({"bond_order": torch.ones(3)}, ValueError, r"bond_order must have shape \(2,\).*got \(3,\)"),
        ({"bond_order": torch.tensor([1, 2])}, TypeError, "bond_order must be floating point; got torch.int64"),
        ({"bond_order": torch.tensor([1.0, 0.0])}, ValueError, r"bond_order must be positive.*bond 1 = \(0, 2\)"),
        ({"bond_order": torch.tensor([torch.nan, 1.0])}, ValueError, "bond_order must be positive and finite"),
        ({"ir": torch.rand(8)}, ValueError, r"ir must have shape \(1, L\).*got \(8,\).*reshape\(1, -1\)"),
        ({"ir": torch.rand(2, 8)}, ValueError, r"ir must have shape \(1, L\).*got \(2, 8\)"),
        ({"ir": torch.rand(1, 0)}, ValueError, "ir must have shape"),
        ({"ir": torch.ones(1, 8, dtype=torch.int64)}, TypeError, "ir must be a floating-point tensor.*got torch.int64"),
        ({"ir": [1.0, 2.0]}, TypeError, "ir must be a floating-point tensor.*got list"),
        ({"ir": torch.tensor([[torch.nan, torch.inf]])}, ValueError, "ir.*row 0 .*infinite values are no intensities"),
        ({"raman": torch.tensor([[1.0, torch.inf]])}, ValueError, "raman.*row 0 mixes NaN or infinite"),
    ],
)
def test_refuses(fields, error, match):
    with pytest.raises(error, match=match):
        validate(changed(**fields))


def test_refuses_what_is_no_molecule():
    # Where annotations are enforced, they refuse it first.
    with pytest.raises(TypeError, match="data"):
        validate({})


def test_max_z():
    validate(water(), max_z=8)
    with pytest.raises(ValueError, match="z must lie in 1..7"):
        validate(water(), max_z=7)


def test_kinds():
    data = changed(nmr=torch.rand(3))
    validate(data)
    with pytest.raises(ValueError, match="nmr must have shape"):
        validate(data, kinds=("nmr",))


def test_refuses_bonds_across_molecules():
    batch = Batch.from_data_list([water(), water()])
    batch.bond_index[1, 1] = 4
    with pytest.raises(ValueError, match=r"bond_index must join atoms of one molecule; got bond 1 = \(0, 4\)"):
        validate(batch)


def test_refuses_a_batch_out_of_order():
    batch = Batch.from_data_list([water(), water()])
    batch.batch = batch.batch.flip(0)
    with pytest.raises(ValueError, match="batch must be sorted"):
        validate(batch)


def test_refuses_molecules_without_atoms():
    empty = Data(z=torch.empty(0, dtype=torch.int64), pos=torch.empty(0, 3))
    with pytest.raises(ValueError, match="The batch holds no atoms"):
        validate(empty)
    atom = Data(z=torch.tensor([1]), pos=torch.zeros(1, 3))
    for molecules, which in (([atom, empty, atom], 1), ([atom, empty], 1), ([empty, atom], 0)):
        with pytest.raises(ValueError, match=f"molecule {which} has none"):
            validate(Batch.from_data_list(molecules))


def test_refuses_spectra_of_another_number_of_molecules():
    batch = Batch.from_data_list([water(), water()])
    batch.ir = batch.ir[:1]
    with pytest.raises(ValueError, match=r"ir must have shape \(2, L\), a row for each molecule; got \(1, 8\)"):
        validate(batch)


@pytest.mark.cuda
def test_looks_at_values_on_a_device():
    with pytest.raises(ValueError, match="z must lie in 1..118"):
        validate(changed(z=torch.tensor([8, 1, 0])).to("cuda"))
    with pytest.raises(ValueError, match="mixes NaN"):
        validate(changed(ir=torch.tensor([[1.0, torch.nan]])).to("cuda"))


def test_lists_of_peaks_are_checked():
    data = water()
    data.c_nmr = torch.tensor([[[-2.3, 1.0], [torch.nan, torch.nan]]])
    validate(data, kinds=["c_nmr"])
    for broken in ([-2.3, torch.nan], [torch.inf, 1.0]):
        data.c_nmr = torch.tensor([[broken]])
        with pytest.raises(ValueError, match="c_nmr of molecule 0 has the peak .* NaN in all of them for padding"):
            validate(data, kinds=["c_nmr"])
