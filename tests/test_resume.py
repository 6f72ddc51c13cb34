"""Example 09 under torchrun: killed at any step, it goes on, and its losses are those it would have had."""

import importlib
import json
import os
import random
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

EXAMPLES = Path(__file__).parents[1] / "examples"
TRAINING = [
    *(EXAMPLES / "09_distributed_pretraining.py", "--epochs", "2", "2", "--molecules", "42", "--batch-size", "16"),
    *("--checkpoint-every", "2", "--log-every", "1", "--no-evaluation", "--timeout", "60"),
]
LAST_STEP = 12  # 42 molecules in batches of 16 are 3 steps an epoch


def start(output, restarts=0):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command += ["--max-restarts", restarts, *TRAINING, "--output", output]
    return subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )


def follow(training, kill_after=()):
    """Read what a training prints, and kill one of its processes after each of these steps; all that was printed."""
    lines, processes, kills = [], {}, list(kill_after)
    with training:
        for line in training.stdout:
            lines.append(line)
            # Processes write into one pipe: what two of them say may come on one line.
            for process, number in re.findall(r"process (\d+) is number (\d)", line):
                processes[int(number)] = int(process)
            if (found := re.search(r"step (\d+):", line)) and kills and int(found[1]) == kills[0][0]:
                os.kill(processes[kills.pop(0)[1]], signal.SIGKILL)
    return "".join(lines)


def losses(output):
    return json.loads((output / "losses.json").read_text())


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    output = tmp_path_factory.mktemp("uninterrupted")
    training = start(output)
    printed = follow(training)
    assert training.returncode == 0, printed
    history = losses(output)
    assert len(history) == LAST_STEP
    assert history[-1]["loss"] < history[LAST_STEP // 2]["loss"]
    return output, history


@pytest.mark.slow
def test_killed_and_started_again(uninterrupted, tmp_path):
    """By hand after one death, by torchrun itself after others, at steps and of processes drawn by lot."""
    random.seed(os.urandom(8))
    steps = sorted(random.sample(range(1, LAST_STEP), 3))
    kills = [(step, random.randrange(2)) for step in steps]
    print(f"kills (after step, process): {kills}")
    first = start(tmp_path)
    printed = follow(first, kills[:1])
    assert first.returncode != 0
    assert not (tmp_path / "losses.json").exists()
    second = start(tmp_path, restarts=2)
    printed = follow(second, kills[1:])
    assert second.returncode == 0, printed
    assert printed.count("is number 0 of 2") == 3
    # Bit for bit: nothing is summed in an order that may change.
    assert losses(tmp_path) == uninterrupted[1]


@pytest.mark.slow
def test_another_number_of_processes_is_refused(uninterrupted):
    output, _ = uninterrupted
    alone = subprocess.run([sys.executable, *TRAINING, "--output", output], capture_output=True, text=True)
    assert alone.returncode != 0
    assert "are of 2 processes" in alone.stderr
    assert "now there are 1. Start as many as before" in alone.stderr


@pytest.fixture
def checkpoints(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module("checkpointing").Checkpoints(tmp_path)


def test_the_last_two_are_kept_and_the_newest_is_loaded(checkpoints):
    assert checkpoints.load() is None
    for step in (9, 10, 11):
        checkpoints.save(step, {"step": step, "weight": torch.full((3,), step)})
    assert len(list(checkpoints.folder.iterdir())) == 2
    assert checkpoints.load()["step"] == 11


@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_a_damaged_file_is_left_out_with_a_warning(checkpoints, damage):
    for step in (1, 2):
        checkpoints.save(step, {"step": step, "weight": torch.arange(1000.0)})
    newest = max(checkpoints.folder.iterdir())
    content = bytearray(newest.read_bytes())
    if damage == "flip":
        content[2000] ^= 1  # within the numbers: torch.load would not notice
    newest.write_bytes({"cut": content[:-100], "flip": content, "empty": b""}[damage])
    with pytest.warns(UserWarning, match=f"{newest.name} is damaged and is left out"):
        assert checkpoints.load()["step"] == 1


def test_what_was_being_written_does_not_count(checkpoints, monkeypatch):
    checkpoints.save(1, {"step": 1})

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        checkpoints.save(2, {"step": 2})
    monkeypatch.undo()
    assert checkpoints.load()["step"] == 1
    checkpoints.save(3, {"step": 3})
    assert not list(checkpoints.folder.glob("*.part"))
