"""Processes that persist, so that each imports torch once, and gloo groups of the first of them."""

import importlib
import os
import tempfile
import traceback
import warnings
from collections.abc import Callable
from datetime import timedelta
from queue import Empty
from typing import Any

import torch
from torch import distributed, multiprocessing

START = 300  # seconds to import torch in every process, on a machine with much else to do
TIMEOUT = 240  # seconds, for a whole function and for waiting of processes for each other


class Processes:
    """Pool that runs functions in several processes at once, each with `torch.distributed` initialised."""

    def __init__(self, most: int = 4) -> None:
        self.most = most
        self.workers: list = []

    def run(self, world_size: int, function: Callable, *arguments: Any) -> list:
        """Run `function(rank, *arguments)` in this many processes, and return the results in order of rank."""
        if not self.workers:
            self._start()
        with tempfile.TemporaryDirectory() as folder:
            for rank in range(world_size):
                self.tasks[rank].put((function, arguments, world_size, os.path.join(folder, "store")))
            outcomes = {}
            while len(outcomes) < world_size:
                try:
                    rank, error, outcomes[rank] = self.results.get(timeout=TIMEOUT)
                except Empty:
                    error = f"{function.__name__} has not returned from all within {TIMEOUT} s."
                if error:
                    self._kill()  # others may wait for the one that failed
                    raise AssertionError(error)
        return [outcomes[rank] for rank in range(world_size)]

    def close(self) -> None:
        """Let the processes end by themselves, so that the lines they ran are counted as covered."""
        if self.workers:
            for tasks in self.tasks:
                tasks.put(None)
            for worker in self.workers:
                worker.join(TIMEOUT)
        self._kill()

    def _kill(self) -> None:
        """End the processes at once. The next run starts others."""
        for worker in self.workers:
            worker.kill()
            worker.join()
        self.workers = []

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.results = context.Queue()
        self.tasks = [context.Queue() for _ in range(self.most)]
        self.workers = [
            context.Process(target=_serve, args=(rank, tasks, self.results), daemon=True)
            for rank, tasks in enumerate(self.tasks)
        ]
        for worker in self.workers:
            worker.start()
        for _ in self.workers:
            assert self.results.get(timeout=START) == "ready"


def _serve(rank: int, tasks: multiprocessing.Queue, results: multiprocessing.Queue) -> None:
    torch.set_num_threads(1)
    importlib.import_module("molspectra")  # takes long, and is not to count as time of the first function
    results.put("ready")
    while (task := tasks.get()) is not None:
        function, arguments, world_size, store = task
        torch.manual_seed(0)
        try:
            distributed.init_process_group(
                "gloo", f"file://{store}", timedelta(seconds=TIMEOUT), rank=rank, world_size=world_size
            )
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                outcome = (rank, None, function(rank, *arguments))
            # A process that leaves too early fails those that are still in the last collective.
            distributed.barrier()
            distributed.destroy_process_group()
        except Exception:
            outcome = (rank, f"Process {rank}: {traceback.format_exc()}", None)
        results.put(outcome)
