"""Retrieval: which molecule has this spectrum? Infrared and Raman spectra of molecules that no training has seen.

    python recipes/retrieve.py --models molspectra-mini

A model is a name or a folder with `encoder` and `specformer`. The library is the validation molecules of
`XTBVibrations`. With `--split test` it is its test molecules, then the test molecules of MiniSpectra, then all 735 of
MiniSpectra, none of which took part in the training. Spectra have the axes and line widths of their data set. The
second line of each library searches only molecules of the formula of the query.
"""

import argparse
import json
from pathlib import Path

import torch
from torch import Tensor

import molspectra as ms


def load_pair(model: str) -> tuple[torch.nn.Module, torch.nn.Module]:
    """Load an encoder and a SpecFormer."""
    if Path(model).is_dir():
        return tuple(ms.pretrained.load(Path(model) / part) for part in ("encoder", "specformer"))
    return tuple(ms.pretrained.load(model))


@torch.no_grad()
def embed_spectra(specformer, data, number: int, kinds: tuple[str, ...]) -> Tensor:
    """Compute the embeddings of the spectra of the first molecules of a data set, (M, F)."""
    axes = {kind: data.axes[kind] for kind in kinds}
    found = []
    for start in range(0, number, 64):
        molecules = [data[row] for row in range(start, min(start + 64, number))]
        spectra = {kind: torch.cat([molecule[kind] for molecule in molecules]) for kind in kinds}
        found.append(specformer(spectra, axes=axes).embedding)
    return torch.cat(found)


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
            number = min(arguments.limit or len(data), len(data))
            molecules = [data[row] for row in range(number)]
            library = ms.embed(encoder, molecules, "sum", layers=None, output="torch")
            formulas = [ms.data.molecular_formula(molecule.z) for molecule in molecules]
            same = ms.retrieval.same_formula(formulas, formulas)
            for kinds in (("ir", "raman"), ("ir",), ("raman",)):
                queries = embed_spectra(specformer, data, number, kinds)
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
