"""One training loop for every model: accelerate, EMA, checkpoints that resume exactly, progress, curves.

    trainer = Trainer({"eac": model}, {"eac": optimizer}, steps=300, checkpoints=stage.checkpoints("eac"), ...)
    for step in trainer:                      # resumes, seeds, shows progress, checkpoints
        batch = corpus_sample(trainer.rng)    # all randomness of a step comes from (seed, step)
        trainer.minimize("eac", loss)         # zero_grad, backward, step, EMA
        trainer.log(loss=loss, loss_rec=rec)
    model = trainer.finish("eac")             # averaged weights loaded, frozen

A step's randomness depends on (seed, step) alone, so a run killed at any moment and started again gives the bits of one
that never stopped. A checkpoint of other parameters (another ``fingerprint``) is not resumed.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from dvclive import Live
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from emolib.files import replacing


class Trainer:
    """Iterate over it to get the step numbers that are still to do.

    models, optimizers: by name; an optimizer of name ``n`` trains the model of name ``n``.
    checkpoints: folder for ``checkpoint.safetensors``. fingerprint: identifies the run's parameters.
    plots: folder for the curves (dvclive tsv), or None. ema: decay of the averaged weights, 0 for none.
    """

    def __init__(
        self,
        models: dict[str, nn.Module],
        optimizers: dict[str, torch.optim.Optimizer],
        *,
        steps: int,
        seed: int,
        checkpoints: Path,
        fingerprint: str = "",
        plots: Path | None = None,
        ema: float = 0.0,
        precision: str = "no",
        device: str = "auto",
        checkpoint_every: int = 100,
        log_every: int = 10,
        name: str = "train",
    ):
        self.accelerator = Accelerator(mixed_precision=precision, cpu=device == "cpu")
        self.models = {k: self.accelerator.prepare(m) for k, m in models.items()}
        self.optimizers = {k: self.accelerator.prepare(o) for k, o in optimizers.items()}
        self.steps, self.seed, self.name, self.ema = steps, seed, name, ema
        self.fingerprint = f"{fingerprint}:{steps}:{seed}"
        self.checkpoint_every, self.log_every = checkpoint_every, log_every
        self.path = Path(checkpoints) / "checkpoint.safetensors"
        self.plots = plots
        self.averages = (
            {k: {n: p.detach().clone() for n, p in self.unwrap(k).state_dict().items()} for k in optimizers}
            if ema
            else {}
        )
        self.history: list[dict] = []
        self.step = self._resume()
        self.rng = np.random.default_rng([seed, self.step])

    @property
    def device(self) -> torch.device:
        return self.accelerator.device

    def unwrap(self, name: str) -> nn.Module:
        return self.accelerator.unwrap_model(self.models[name])

    def autocast(self):
        """Context for the forward pass in the run's precision."""
        return self.accelerator.autocast()

    def __iter__(self) -> Iterator[int]:
        bar = tqdm(total=self.steps, initial=self.step, desc=self.name, mininterval=5, file=sys.stderr)
        while self.step < self.steps:
            self.rng = np.random.default_rng([self.seed, self.step, self.accelerator.process_index])
            torch.manual_seed(int(self.rng.integers(2**62)))
            self._pending = {}
            yield self.step
            self._record()
            self.step += 1
            bar.update()
            if self._pending and self.step % self.log_every == 0:
                bar.set_postfix({k: f"{v:.3g}" for k, v in self.history[-1].items() if k != "step"})
            if self.step % self.checkpoint_every == 0 or self.step == self.steps:
                self.save()
        bar.close()
        self._write_curves()

    def minimize(self, name: str, loss: Tensor, clip: float | None = None) -> None:
        """One optimiser step of model ``name`` on scalar ``loss``; ``clip`` bounds the gradient's norm."""
        optimizer = self.optimizers[name]
        optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(loss)
        if clip:
            self.accelerator.clip_grad_norm_(self.models[name].parameters(), clip)
        optimizer.step()
        if self.averages:
            # A short run must not average over its untrained start, hence the warm-up of the decay.
            decay = min(self.ema, (1 + self.step) / (10 + self.step))
            for key, value in self.unwrap(name).state_dict().items():
                average = self.averages[name][key]
                if value.is_floating_point():
                    average.lerp_(value.detach().to(average.dtype), 1 - decay)
                else:
                    average.copy_(value)

    def log(self, **values) -> None:
        """Values (tensors or floats) of this step for the curves."""
        self._pending |= {k: v.detach() if isinstance(v, Tensor) else v for k, v in values.items()}

    def finish(self, name: str) -> nn.Module:
        """Model ``name`` with its averaged weights (if any), frozen, in eval mode."""
        model = self.unwrap(name)
        if self.averages:
            model.load_state_dict(self.averages[name])
        return model.eval().requires_grad_(False)

    def curves(self):
        """The logged values as a table, one row each ``log_every`` steps."""
        import pandas as pd

        return pd.DataFrame(self.history)

    def save(self) -> None:
        """Writes the checkpoint, whole or not at all."""
        if not self.accelerator.is_main_process:
            return
        tensors = {f"model/{k}/{n}": t for k in self.models for n, t in self.unwrap(k).state_dict().items()}
        tensors |= {f"ema/{k}/{n}": t for k, state in self.averages.items() for n, t in state.items()}
        for k, optimizer in self.optimizers.items():
            for i, state in optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer/{k}/{i}/{n}": torch.as_tensor(t) for n, t in state.items()}
        meta = {"step": str(self.step), "fingerprint": self.fingerprint, "history": json.dumps(self.history)}
        with replacing(self.path) as temporary:
            save_file({k: t.detach().cpu().contiguous().clone() for k, t in tensors.items()}, temporary, metadata=meta)

    def _resume(self) -> int:
        """Loads the checkpoint if it is this run's; returns the step to go on from."""
        if not self.path.is_file():
            return 0
        try:
            with safe_open(self.path, framework="pt") as file:
                meta = file.metadata()
                if meta["fingerprint"] != self.fingerprint:
                    return 0
                tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118 (not a dict)
        except SafetensorError:
            return 0  # cut off by the machine, not by us (we rename whole files); starting again is safe
        saved = {k: _under(tensors, f"model/{k}/") for k in self.models}
        if any(_shapes(saved[k]) != _shapes(self.unwrap(k).state_dict()) for k in self.models):
            return 0  # the model's code has changed since
        for k in self.models:
            self.unwrap(k).load_state_dict(saved[k])
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

    def _record(self) -> None:
        if self._pending and ((self.step + 1) % self.log_every == 0 or self.step + 1 == self.steps):
            values = {k: float(v) for k, v in self._pending.items()}
            if not all(np.isfinite(v) for v in values.values()):
                raise FloatingPointError(f"{self.name}: not finite at step {self.step}: {values}")
            self.history.append({"step": self.step + 1} | values)

    def _write_curves(self) -> None:
        """Replays the history through dvclive, so that a resumed run writes the same files as an unbroken one."""
        if self.plots is None or not self.accelerator.is_main_process:
            return
        with Live(
            str(Path(self.plots) / self.name), save_dvc_exp=False, dvcyaml=None, report=None, monitor_system=False
        ) as live:
            for row in self.history:
                live.step = row["step"]
                for key, value in row.items():
                    if key != "step":
                        live.log_metric(key, value)


def _shapes(tensors: dict[str, Tensor]) -> dict[str, torch.Size]:
    return {k: t.shape for k, t in tensors.items()}


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)}


def cosine_rate(optimizer: torch.optim.Optimizer, step: int, steps: int, lr: float) -> None:
    """Sets the learning rate of ``step``: up over the first twentieth, then down to a fiftieth along a cosine."""
    warm = min(1.0, (step + 1) / max(1, steps // 20))
    for group in optimizer.param_groups:
        group["lr"] = lr * warm * (0.02 + 0.98 * (0.5 + 0.5 * np.cos(np.pi * step / steps)))
