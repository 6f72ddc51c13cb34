"""Two-stage pre-training of example 01 on several processes, resumable after a kill at any time.

    torchrun --standalone --nproc-per-node 2 --max-restarts 3 examples/09_distributed_pretraining.py
    python examples/09_distributed_pretraining.py                              one process, the same program

Restarted by torchrun or by hand, training resumes from its last checkpoint with unchanged losses: weights, optimizer,
learning rate, position in the epoch and the random state of every process are restored. Losses and gradients equal
those of the whole batch, for any number of processes (see docs/distributed.md).
"""

import argparse
import json
import os
import runpy
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import evaluation
import torch
from checkpointing import Checkpoints
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch_geometric.loader import DataLoader

import molspectra as ms

DEMO = runpy.run_path(str(Path(__file__).with_name("01_two_stage_pretraining.py")))
DEVICE = DEMO["DEVICE"]  # the GPU that `main` chose for this process


class Stage(NamedTuple):
    method: nn.Module
    molecules: ms.data.MiniSpectra
    epochs: int
    learning_rate: float


class Progress(NamedTuple):
    """Content of a checkpoint beside weights, optimizer and schedule."""

    generator: torch.Generator
    history: list[dict[str, float]]

    def random_states(self) -> list[list[torch.Tensor]]:
        """Return the random states of noise and of data augmentation of every process."""
        return of_all_processes([self.generator.get_state(), torch.get_rng_state()])

    def restore(self, state: dict[str, Any]) -> None:
        of_noise, of_everything_else = state["random_states"][ms.distributed.rank()]
        self.generator.set_state(of_noise)
        torch.set_rng_state(of_everything_else)


def of_all_processes(value: Any) -> list[Any]:
    values = [value] * ms.distributed.world_size()
    if len(values) > 1:
        distributed.all_gather_object(values, value)
    return values


def mean_over_processes(losses: dict[str, torch.Tensor]) -> dict[str, float]:
    """Return the losses of the whole batch, of which each process holds a share."""
    values = ms.distributed.sum_over_processes(torch.stack([loss.detach() for loss in losses.values()]))
    return dict(zip(losses, (values / ms.distributed.world_size()).tolist(), strict=True))


def train(number, stage, encoder, model, progress, checkpoints, resumed, arguments) -> None:
    """Train one stage, from its beginning or from the checkpoint `resumed`. `model` holds all weights."""
    step = ms.methods.TrainingModule(encoder, stage.method)
    parallel = DistributedDataParallel(step) if ms.distributed.world_size() > 1 else step
    share = arguments.batch_size // ms.distributed.world_size()
    sampler = ms.data.ShardedBatchSampler(len(stage.molecules), share, seed=arguments.seed)
    # A loader draws a seed for its workers. Its own generator keeps a resumed epoch from drawing one more.
    loader = DataLoader(stage.molecules, batch_sampler=sampler, generator=torch.Generator())
    optimizer = torch.optim.AdamW(step.parameters(), lr=stage.learning_rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, stage.learning_rate, epochs=stage.epochs, steps_per_epoch=len(sampler)
    )
    stateful = {"model": model, "optimizer": optimizer, "schedule": schedule, "sampler": sampler}
    if resumed is not None:
        for name, part in stateful.items():
            part.load_state_dict(resumed[name])
        progress.restore(resumed)

    def save() -> None:
        states = progress.random_states()
        if ms.distributed.rank() == 0:
            state = {name: part.state_dict() for name, part in stateful.items()}
            counts = {"stage": number, "world_size": len(states)}
            checkpoints.save(
                len(progress.history), {**state, **counts, "random_states": states, "history": progress.history}
            )

    for epoch in range(sampler.epoch, stage.epochs):
        sampler.set_epoch(epoch)
        for batch in loader:
            losses = parallel(batch.to(DEVICE), progress.generator)
            optimizer.zero_grad()
            losses["loss"].backward()
            nn.utils.clip_grad_norm_(step.parameters(), 5.0)
            optimizer.step()
            schedule.step()
            progress.history.append(mean_over_processes(losses))
            done = len(progress.history)
            if ms.distributed.rank() == 0 and done % arguments.log_every == 0:
                parts = ", ".join(f"{name} {value:.3f}" for name, value in progress.history[-1].items())
                print(f"stage {number}, epoch {epoch}, step {done}: {parts}", flush=True)
            if done % arguments.checkpoint_every == 0:
                save()
    save()


def run(arguments: argparse.Namespace) -> None:
    rank, world_size = ms.distributed.rank(), ms.distributed.world_size()
    print(f"process {os.getpid()} is number {rank} of {world_size}, on {DEVICE}", flush=True)
    torch.manual_seed(arguments.seed)
    encoder, denoise = DEMO["make_encoder"](), DEMO["DENOISING"][arguments.method]().to(DEVICE)
    contrast = ms.objectives.InfoNCELoss(temperature=0.2, gather_distributed=True)
    method = ms.methods.MolSpectra(denoise, DEMO["make_specformer"](), contrast=contrast).to(DEVICE)
    model = ms.methods.TrainingModule(encoder, method)
    # From here on, every process draws different random numbers.
    torch.manual_seed(arguments.seed + 1 + rank)
    progress = Progress(torch.Generator(DEVICE).manual_seed(arguments.seed + 1 + rank), [])

    pre_transform = None if arguments.method == "coord" else DEMO["TOPOLOGY"]
    molecules = ms.data.MiniSpectra("train", pre_transform=pre_transform)
    shown_in_part = ms.data.MiniSpectra("train", pre_transform=pre_transform, transform=DEMO["hide_some_kinds"])
    chosen = slice(arguments.molecules)
    stages = [
        Stage(denoise, molecules[chosen], arguments.epochs[0], 2e-3),
        Stage(method, shown_in_part[chosen], arguments.epochs[1], 1e-3),
    ]

    checkpoints = Checkpoints(arguments.output / "checkpoints")
    state = checkpoints.load()
    if state is not None:
        if state["world_size"] != world_size:
            raise ValueError(
                f"The checkpoints in {checkpoints.folder} are of {state['world_size']} processes, each with random "
                f"numbers and a place in the epoch of its own; now there are {world_size}. Start as many as before, or "
                "begin anew with another --output."
            )
        progress.history.extend(state["history"])
        if rank == 0:
            print(f"goes on after step {len(progress.history)}", flush=True)
    first = 0 if state is None else state["stage"]
    for number, stage in enumerate(stages[first:], first):
        train(number, stage, encoder, model, progress, checkpoints, state, arguments)
        state = None

    if rank == 0:  # evaluation exchanges nothing, so one process may do it alone
        (arguments.output / "losses.json").write_text(json.dumps(progress.history))
        ms.pretrained.save(encoder, arguments.output / "encoder")
        ms.pretrained.save(method, arguments.output / "method")
        if not arguments.no_evaluation:
            results = evaluation.gap_error(encoder, "test") | evaluation.retrieval(encoder, method, "test")
            print(evaluation.table([results], "test"))


def meet(timeout: timedelta) -> None:
    """Connect the processes, with a backend for the CPU and, if available, one for GPUs."""
    store, rank, world_size = next(distributed.rendezvous("env://", timeout=timeout))
    # torchrun's store outlives restarted processes, which would take old addresses for those of each other. On
    # several machines restarts are not counted alike: set TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 for torchrun there.
    if os.environ.get("LOCAL_WORLD_SIZE") == str(world_size):
        store = distributed.PrefixStore(f"start {os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", store)
    distributed.init_process_group(store=store, rank=rank, world_size=world_size, timeout=timeout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--method", choices=DEMO["DENOISING"], default="coord", help="denoising objective")
    parser.add_argument("--epochs", type=int, nargs=2, default=(60, 25), metavar=("STAGE1", "STAGE2"))
    parser.add_argument("--batch-size", type=int, default=DEMO["BATCH_SIZE"], help="batch size over all processes")
    parser.add_argument("--molecules", type=int, help="number of training molecules")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--checkpoint-every", type=int, default=20, metavar="STEPS")
    parser.add_argument("--log-every", type=int, default=10, metavar="STEPS")
    parser.add_argument("--no-evaluation", action="store_true")
    parser.add_argument("--timeout", type=float, default=300, metavar="SECONDS", help="wait for other processes")
    parser.add_argument("--output", type=Path, default=Path("runs/distributed_pretraining"))
    arguments = parser.parse_args()

    if "RANK" not in os.environ:  # set by torchrun
        run(arguments)
        return
    if DEVICE.type == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    meet(timedelta(seconds=arguments.timeout))
    run(arguments)
    distributed.barrier()
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
