"""One training loop for every system: what it depends on, EMA, checkpoints that resume exactly, curves, several processes.

    class EacTraining(Training):              # its fields are all that the result depends on
        def prepare(self): ...                # reads the data, makes the models and their optimisers
        def draw(self, rng): ...              # a batch; every random choice of a step comes from (seed, step)
        def step(self, loop, batch): ...      # loop.minimize(name, loss); returns the terms to be logged
        def save(self, path): ...             # the finished weights

    run = train(EacTraining(corpus=..., steps=400, ...), "data/04_eac/full/eac.safetensors", checkpoints=...)

Finished weights lie beside a record of their fingerprint (:mod:`emolib.fingerprint`: the fields, the bytes of files among them, the
code in the import closure of the training's module). While it holds, :func:`train` makes no step. An unfinished run goes on from
its last checkpoint to the bits of one that never stopped.
"""

import contextlib
import dataclasses
import json
import math
import os
import pickle
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.distributed as dist
from accelerate import Accelerator
from dvclive import Live
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from emolib.files import replacing, write_atomic
from emolib.fingerprint import code, file_digest, fingerprint
from emolib.train.parallel import average_gradients, mixed, rank, share_statistics, world


@dataclass(kw_only=True)
class Training:
    """What one system brings to the loop. Fields, those of subclasses too, are numbers, texts, paths or have a ``digest()``.

    steps: of the optimiser. seed: of every random draw. ema: decay of the averaged weights, 0 for none. precision: of :func:`mixed`.
    ``models`` and ``optimizers`` are set by :meth:`prepare`; an optimiser of name n trains the model of name n.
    """

    steps: int
    seed: int
    ema: float = 0.0
    precision: str = "no"

    def __post_init__(self):
        self.models: dict[str, Any] = {}  # modules, each of a kind that the subclass knows
        self.optimizers: dict[str, torch.optim.Optimizer] = {}

    @property
    def name(self) -> str:
        """What curves, progress and weights are called."""
        return type(self).__name__.removesuffix("Training").lower()

    def prepare(self) -> "Training":
        """Reads the data and makes models and optimisers, all from ``seed``; returns itself."""
        raise NotImplementedError

    def draw(self, rng: np.random.Generator):
        """The whole batch of one step."""
        raise NotImplementedError

    def step(self, loop: "Loop", batch) -> dict[str, Tensor]:
        """Optimises on ``batch`` with :meth:`Loop.minimize`; the terms to log, by name."""
        raise NotImplementedError

    def save(self, path: Path) -> None:
        """Writes the finished weights (averaged, frozen, on the CPU)."""
        raise NotImplementedError

    def fingerprint(self) -> str:
        """Changes with anything that the weights depend on."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return fingerprint(type(self).__module__, training=type(self).__qualname__, **values)


class Loop:
    """Runs a prepared :class:`Training`. checkpoints: a folder for ``checkpoint.safetensors``.

    warm_start_every: seconds after which the averaged weights so far are kept there too, as ``warm_start.safetensors``: what another
    training, of other code or data, can go on from.
    """

    def __init__(
        self, training: Training, *, checkpoints: Path, mark: str = "", device: str = "auto",
        checkpoint_every: int = 100, log_every: int = 10, warm_start_every: float = math.inf,
    ):  # fmt: skip
        self.accelerator = Accelerator(mixed_precision=mixed(training.precision, device), cpu=device == "cpu")
        self.training, self.steps, self.mark = training, training.steps, mark
        # Not wrapped for several processes: a batch is shared and gradients are averaged by emolib.train.parallel.
        prepared = {k: self.accelerator.prepare_model(m, evaluation_mode=True) for k, m in training.models.items()}
        self.models: dict[str, Any] = {k: share_statistics(m) for k, m in prepared.items()}
        self.optimizers = {k: self.accelerator.prepare(o) for k, o in training.optimizers.items()}
        self.checkpoint_every, self.log_every, self.warm_start_every = checkpoint_every, log_every, warm_start_every
        self.path = Path(checkpoints) / "checkpoint.safetensors"
        self.averages = {k: _copied(self.models[k]) for k in self.optimizers} if training.ema else {}
        self.history: list[dict] = []
        self.step = self._resume()

    @property
    def device(self) -> torch.device:
        return self.accelerator.device

    @property
    def done(self) -> float:
        """The share of the run that lies behind, in [0, 1)."""
        return self.step / self.steps

    def autocast(self):
        """Context for the forward pass in the run's precision."""
        return self.accelerator.autocast()

    def run(self) -> list[dict]:
        """Makes the steps that are left; returns the logged terms, one row each ``log_every`` steps."""
        bar = tqdm(
            total=self.steps,
            initial=self.step,
            desc=self.training.name,
            mininterval=5,
            file=sys.stderr,
            disable=rank() > 0,
        )
        kept = time.monotonic()
        while self.step < self.steps:
            self.rng = np.random.default_rng([self.training.seed, self.step, 0])
            torch.manual_seed(int(self.rng.integers(2**62)))
            batch = self.training.draw(self.rng)
            terms = self.training.step(self, batch)
            self._record(terms)
            self.step += 1
            bar.update()
            if self.step % self.log_every == 0:
                bar.set_postfix({k: f"{v:.3g}" for k, v in self.history[-1].items() if k != "step"})
            if self.step % self.checkpoint_every == 0 and self.step < self.steps:
                self.save()
                if time.monotonic() - kept > self.warm_start_every:
                    self.keep_warm_start()
                    kept = time.monotonic()
        bar.close()
        self._take(self.averages)
        for model in self.training.models.values():
            model.cpu().eval().requires_grad_(False)
        return self.history

    def minimize(self, name: str, loss: Tensor, clip: float | None = None) -> None:
        """One optimiser step of model ``name`` on scalar ``loss``; ``clip`` bounds the gradient's norm."""
        optimizer = self.optimizers[name]
        optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(loss)
        average_gradients(self.models[name].parameters())
        if clip:
            self.accelerator.clip_grad_norm_(self.models[name].parameters(), clip)
        optimizer.step()
        if self.averages:
            # A short run must not average over its untrained start, hence the warm-up of the decay.
            decay = min(self.training.ema, (1 + self.step) / (10 + self.step))
            for key, value in self.models[name].state_dict().items():
                average = self.averages[name][key]
                if value.is_floating_point():
                    average.lerp_(value.detach().to(average.dtype), 1 - decay)
                else:
                    average.copy_(value)

    def cosine_rate(self, name: str, lr: float) -> None:
        """Sets the learning rate of this step: up over the first twentieth, then down to a fiftieth along a cosine."""
        warm = min(1.0, (self.step + 1) / max(1, self.steps // 20))
        for group in self.optimizers[name].param_groups:
            group["lr"] = lr * warm * (0.02 + 0.98 * (0.5 + 0.5 * np.cos(np.pi * self.done)))

    def save(self) -> None:
        """Writes the checkpoint, whole or not at all."""
        if rank():
            return
        tensors = {f"model/{k}/{n}": t for k, m in self.models.items() for n, t in m.state_dict().items()}
        tensors |= {f"ema/{k}/{n}": t for k, state in self.averages.items() for n, t in state.items()}
        for k, optimizer in self.optimizers.items():
            for i, state in optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer/{k}/{i}/{n}": torch.as_tensor(t) for n, t in state.items()}
        meta = {"step": str(self.step), "fingerprint": self.mark, "history": json.dumps(self.history)}
        with replacing(self.path) as temporary:
            save_file({k: t.detach().cpu().contiguous().clone() for k, t in tensors.items()}, temporary, metadata=meta)

    def _take(self, states: dict[str, dict[str, Tensor]]) -> None:
        for name, state in states.items():
            self.models[name].to(self.device).load_state_dict(state)

    def keep_warm_start(self) -> None:
        """Writes the averaged weights of this step, and beside them a manifest: which step, whose parent, of which training."""
        if rank():
            return
        now = {name: _copied(self.models[name]) for name in self.averages}
        self._take(self.averages)
        path = self.path.with_name("warm_start.safetensors")
        record_path(path).unlink(missing_ok=True)
        self.training.save(path)
        self._take(now)
        manifest: dict = {"weights": file_digest(path), "step": self.step, "of": self.steps}
        if parent := getattr(self.training, "parent", None):
            manifest["parent"] = file_digest(parent)
        write_atomic(record_path(path), json.dumps(manifest, indent=1) + "\n")

    def _resume(self) -> int:
        """Loads the checkpoint if it is this run's; returns the step to go on from."""
        if not self.path.is_file():
            return 0
        try:
            with safe_open(self.path, framework="pt") as file:
                meta = file.metadata()
                if meta["fingerprint"] != self.mark:
                    return 0
                tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118 (not a dict)
        except SafetensorError:
            return 0  # cut off by the machine, not by us (we rename whole files); starting again is safe
        for k, model in self.models.items():
            model.load_state_dict(_under(tensors, f"model/{k}/"))
        for k in self.averages:
            self.averages[k] = {n: t.to(self.device) for n, t in _under(tensors, f"ema/{k}/").items()}
        for k, optimizer in self.optimizers.items():
            state: dict[int, dict] = {}
            for name, tensor in _under(tensors, f"optimizer/{k}/").items():
                index, key = name.split("/", 1)
                state.setdefault(int(index), {})[key] = tensor
            optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
        self.history = json.loads(meta["history"])
        return int(meta["step"])

    def _record(self, terms: dict[str, Tensor]) -> None:
        if (self.step + 1) % self.log_every == 0 or self.step + 1 == self.steps:
            values = {k: float(v.detach() if isinstance(v, Tensor) else v) for k, v in terms.items()}
            if not all(np.isfinite(v) for v in values.values()):
                raise FloatingPointError(f"{self.training.name}: not finite at step {self.step}: {values}")
            self.history.append({"step": self.step + 1} | values)


@dataclass(frozen=True)
class Run:
    """What :func:`train` leaves: the file of the weights, how many steps were made for them just now, how long one took, ms; the terms."""

    weights: Path
    steps: int
    step_ms: float
    history: list[dict]

    def curves(self) -> pd.DataFrame:
        """The logged terms as a table."""
        return pd.DataFrame(self.history)


def train(
    training: Training, weights: str | Path, *, checkpoints: str | Path, plots: str | Path | None = None,
    device: str = "auto", **loop,
) -> Run:  # fmt: skip
    """Weights that are true: those that lie at ``weights`` if their fingerprint still holds, else trained now.

    plots: folder for the curves (dvclive tsv). On a machine with several GPUs, one process each trains together; ``EMOLIB_PROCESSES``
    says another number. loop: what else :class:`Loop` takes.
    """
    weights, checkpoints = Path(weights).absolute(), Path(checkpoints).absolute()
    mark, steps = training.fingerprint(), 0
    record = read_record(weights)
    if record.get("fingerprint") != mark:
        processes = int(os.environ.get("EMOLIB_PROCESSES") or (torch.cuda.device_count() if device != "cpu" else 1))
        if processes > 1 and world() == 1:
            steps = _together(processes, training, weights, checkpoints, mark, device, loop)
        else:
            steps = train_here(training, weights, checkpoints, mark, device, **loop)
        record = read_record(weights)
    if plots is not None:
        _write_curves(Path(plots) / training.name, record["history"])
    return Run(weights, steps, record["step_ms"], record["history"])


def train_here(training: Training, weights: Path, checkpoints: Path, mark: str, device: str, **options) -> int:
    """Trains in this process (one of several, perhaps) and writes the weights and their record; returns the steps made."""
    if not training.models:
        training.prepare()
    loop = Loop(training, checkpoints=checkpoints, mark=mark, device=device, **options)
    left, begun = loop.steps - loop.step, time.monotonic()
    history = loop.run()
    step_ms = round(1000 * (time.monotonic() - begun) / max(1, left), 1)
    if rank() == 0:
        weights.parent.mkdir(parents=True, exist_ok=True)
        record_path(weights).unlink(missing_ok=True)  # a record never speaks for weights that it was not written for
        training.save(weights)
        module = type(training).__module__
        record: dict = {"fingerprint": mark, "code": code(module), "module": module}
        record |= {"weights": file_digest(weights), "steps": training.steps, "seed": training.seed}
        record |= {"step_ms": step_ms, "history": history}
        write_atomic(record_path(weights), json.dumps(record, indent=1) + "\n")
        loop.path.unlink(missing_ok=True)
    if world() > 1:
        dist.barrier()  # nobody looks for what the first process still writes
    return left


def _together(processes: int, training: Training, weights, checkpoints, mark: str, device: str, options: dict) -> int:
    """:func:`train_here` in ``processes`` processes, which read the data for themselves."""
    fresh = dataclasses.replace(training)
    with tempfile.TemporaryDirectory() as folder:
        job, answer = Path(folder) / "job.pkl", Path(folder) / "steps.json"
        job.write_bytes(pickle.dumps((fresh, weights, checkpoints, mark, device, options)))
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        subprocess.run([*launcher, "-m", "emolib.train.launch", str(job), str(answer)], check=True)
        return json.loads(answer.read_text())


def record_path(weights: Path) -> Path:
    """Where the record of a file of weights lies: ``eac.safetensors`` -> ``eac.json``."""
    return weights.with_suffix(".json")


def read_record(weights: Path) -> dict:
    """The record of a file of weights; empty if there is none, or if it is another file's."""
    with contextlib.suppress(OSError, json.JSONDecodeError):
        record = json.loads(record_path(weights).read_text())
        if record["weights"] == file_digest(weights):
            return record
    return {}


def _copied(model: nn.Module) -> dict[str, Tensor]:
    return {n: p.detach().clone() for n, p in model.state_dict().items()}


def _write_curves(folder: Path, history: list[dict]) -> None:
    """Replays the history through dvclive, so that a resumed run, or one that only loaded, writes the files of an unbroken one."""
    with Live(str(folder), save_dvc_exp=False, dvcyaml=None, report=None, monitor_system=False) as live:
        for row in history:
            live.step = row["step"]
            for key, value in row.items():
                if key != "step":
                    live.log_metric(key, value)


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)}
