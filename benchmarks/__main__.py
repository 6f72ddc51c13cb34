"""Command that runs benchmarks, prints their tables, and stores them with hardware and versions as JSON.

python -m benchmarks                      all of them, into benchmarks/results/cpu.json or cuda.json
python -m benchmarks encoder specformer   some of them, keeping the others in the file
python -m benchmarks --quick              smaller batches and fewer runs, as a smoke test
python -m benchmarks.page                 generate docs/benchmarks.md from the results
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from benchmarks import contrast, data, encoder, methods, noise, peak_tokens, pretraining, scaling, specformer
from benchmarks.page import markdown
from benchmarks.results import RESULTS, Table, environment
from benchmarks.timing import DEVICE

# Name → title, function that measures, arguments for --quick.
BENCHMARKS = {
    "pretraining": (pretraining.TITLE, pretraining.measure, {"batches": (8,), "repeats": 1}),
    "encoder": (encoder.TITLE, encoder.measure, {"batches": (8,), "repeats": 1}),
    "modes": (encoder.TITLE_MODES, encoder.measure_modes, {"batch_size": 8, "repeats": 1}),
    "products": (encoder.TITLE_PRODUCTS, encoder.measure_products, {"batch_size": 8, "repeats": 1}),
    "specformer": (specformer.TITLE, specformer.measure, {"configurations": {"released": (4,)}, "repeats": 1}),
    "peak_tokens": (peak_tokens.TITLE, peak_tokens.measure, {"peaks": (139,), "repeats": 1}),
    "methods": (methods.TITLE, methods.measure, {"batch_size": 8, "repeats": 1}),
    "noise": (noise.TITLE, noise.measure, {"batch_size": 8, "repeats": 1}),
    "scaling": (scaling.TITLE, scaling.measure, {"repeats": 1}),
    "data": (data.TITLE, data.measure, {"copies": 1, "repeats": 1}),
    "writing": (data.TITLE_WRITING, data.measure_writing, {"number": 256, "repeats": 1}),
    "contrast": (contrast.TITLE, contrast.measure, {"batches": (256,), "chunk_size": 64, "repeats": 1}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--quick", action="store_true", help="measure little and store nothing")
    parser.add_argument("--output", type=Path, default=RESULTS / f"{DEVICE.type}.json")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(BENCHMARKS):
        parser.error(f"unknown benchmarks {sorted(unknown)}; expected some of {', '.join(BENCHMARKS)}")

    names = arguments.names or list(BENCHMARKS)
    if len(names) > 1:
        # One process per benchmark: memory that the allocator keeps from one changes the times of the next.
        options = ["--output", str(arguments.output), *(["--quick"] if arguments.quick else [])]
        for name in names:
            subprocess.run([sys.executable, "-m", "benchmarks", name, *options], check=True)
        return
    [name] = names
    title, measure, quick = BENCHMARKS[name]
    rows = measure(**quick) if arguments.quick else measure()
    table = Table(title, f"python -m benchmarks {name}", environment(DEVICE), rows)
    print(markdown(table), flush=True)
    if not arguments.quick:
        kept = json.loads(arguments.output.read_text()) if arguments.output.exists() else {}
        arguments.output.parent.mkdir(exist_ok=True)
        arguments.output.write_text(json.dumps({**kept, name: table._asdict()}, indent=1) + "\n")


if __name__ == "__main__":
    main()
