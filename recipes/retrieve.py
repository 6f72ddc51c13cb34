"""Retrieval: which molecule has this spectrum? Infrared and Raman spectra of molecules that no training has seen.

    python recipes/retrieve.py --models molspectra-mini

A model is a name or a folder with `encoder` and `specformer`. Libraries are the test molecules of MiniSpectra, all of
MiniSpectra (735, none of which took part in the training), the validation molecules of `XTBVibrations`, and with
`--split test` its test molecules. Spectra have the axes and line widths of their data set. The second line of each
library searches only molecules of the formula of the query.
"""

import argparse
import json
from pathlib import Path

import torch
from torch import Tensor
from torch_geometric.data import Batch

import molspectra as ms


def load_pair(model: str) -> tuple[torch.nn.Module, torch.nn.Module]:
    """Load an encoder and a SpecFormer."""
    if Path(model).is_dir():
        return tuple(ms.pretrained.load(Path(model) / part) for part in ("encoder", "specformer"))
    return tuple(ms.pretrained.load(model))


@torch.no_grad()
def embed(encoder, specformer, molecules, kinds: tuple[str, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the embeddings of molecules and of their spectra, (M, F), and the number of atoms of each element."""
    of_molecules, of_spectra, counts = [], [], []
    for start in range(0, len(molecules), 64):
        batch = Batch.from_data_list([molecules[row] for row in range(start, min(start + 64, len(molecules)))])
        of_molecules.append(ms.methods.encode(encoder, batch).pool(batch.batch, num_molecules=batch.num_graphs))
        spectra = {kind: batch[kind] for kind in kinds}
        axes = {kind: molecules.axes[kind] for kind in kinds}
        of_spectra.append(specformer(spectra, axes=axes).embedding)
        counts += [torch.bincount(z, minlength=10) for z in batch.z.split(batch.ptr.diff().tolist())]
    return torch.cat(of_molecules), torch.cat(of_spectra), torch.stack(counts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["molspectra-mini"])
    parser.add_argument("--split", choices=("validation", "test"), default="validation")
    parser.add_argument("--limit", type=int, help="number of molecules in each library, for a dry run")
    parser.add_argument("--output", type=Path, help="file for the numbers, JSON")
    arguments = parser.parse_args()

    libraries = {f"XTBVibrations, {arguments.split}": ms.data.XTBVibrations(arguments.split)}
    if arguments.split == "test":
        libraries |= {"MiniSpectra, test": ms.data.MiniSpectra("test"), "MiniSpectra, all": ms.data.MiniSpectra("all")}
    results = {}
    for model in arguments.models:
        encoder, specformer = load_pair(model)
        for name, data in libraries.items():
            molecules = data[: arguments.limit] if arguments.limit else data
            for kinds in (("ir", "raman"), ("ir",), ("raman",)):
                library, queries, formulas = embed(encoder, specformer, molecules, kinds)
                same = (formulas[:, None] == formulas[None]).all(dim=2)
                for among, mask in (("all", None), ("same formula", same)):
                    found = ms.retrieval.evaluate(queries, library, mask=mask)
                    row = f"{model}, {name}, {' + '.join(kinds)}, {among}"
                    results[row] = {f"hit@{k}": list(hit) for k, hit in found.hit.items()}
                    print(f"{row}: {found!r}", flush=True)
    if arguments.output:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
