"""
The command line
================

Features of a file of molecules without a line of Python. Lines that begin with `!` run in a shell.
"""

# %%
# A notebook runs shell commands with `!`. On this page, `shell` does the same and prints the output.

import os
import subprocess
import sys
from pathlib import Path
from tempfile import mkdtemp

import molspectra as ms

folder = Path(mkdtemp())
# The shell finds the command beside the Python that runs this page.
environment = {
    **os.environ,
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
}


def shell(command):
    done = subprocess.run(
        command, shell=True, cwd=folder, env=environment, capture_output=True, text=True
    )
    print(f"$ {command}\n{done.stdout}{done.stderr}exit status: {done.returncode}")


shell("molspectra --version")

# %%
# A model is a name, a directory that `ms.pretrained.save` wrote, or a published file.

ms.pretrained.save(ms.encoders.PaiNN(16, num_layers=2), folder / "encoder")
(folder / "molecules.csv").write_text(
    "name,smiles\nethanol,CCO\nbenzene,c1ccccc1\nbroken,C1CC\n"
)
shell(
    "molspectra embed molecules.csv --smiles smiles --model encoder -o features.csv --quiet"
)

# %%
# The exit status 1 says that a molecule failed. Its row has the reason and no features.

print((folder / "features.csv").read_text()[:700])

# %%
# The suffix of the output decides its format: .npz, .csv or .parquet. More options choose the pooling, the layers and
# the device.

shell("molspectra embed --help")

# %%
# Published checkpoints, and how to get each:

shell("molspectra list")
