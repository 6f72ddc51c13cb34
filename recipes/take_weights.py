"""Take encoder and SpecFormer out of a finished training, as directories for `ms.pretrained.load`.

The encoder remembers the layers and the pooling that `ms.embed` reads by default. Choose them on validation molecules.

python recipes/take_weights.py runs/molspectra/final --output weights/molspectra-mini
"""

import argparse
from pathlib import Path

from spectrum_task import AlsoPredictSpectra

import molspectra as ms


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("training", type=Path, help="folder that a pre-training recipe saved")
    parser.add_argument("--pool", default="mean+sum", help="reductions over atoms, of all layers")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()

    model = ms.pretrained.load(arguments.training, classes=[AlsoPredictSpectra])
    reading = ms.pretrained.Reading("all", arguments.pool)
    ms.pretrained.save(ms.pretrained.recommend_reading(model.encoder, reading), arguments.output / "encoder")
    if hasattr(model.method, "specformer"):
        ms.pretrained.save(model.method.specformer, arguments.output / "specformer")


if __name__ == "__main__":
    main()
