"""Take encoder and SpecFormer out of a finished training, as directories for `ms.pretrained.load`.

python recipes/take_weights.py runs/molspectra/final --output weights/molspectra-mini
"""

import argparse
from pathlib import Path

from spectrum_task import AlsoPredictSpectra

import molspectra as ms


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("training", type=Path, help="folder that a pre-training recipe saved")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()

    model = ms.pretrained.load(arguments.training, classes=[AlsoPredictSpectra])
    ms.pretrained.save(model.encoder, arguments.output / "encoder")
    if hasattr(model.method, "specformer"):
        ms.pretrained.save(model.method.specformer, arguments.output / "specformer")


if __name__ == "__main__":
    main()
