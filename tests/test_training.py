"""The loop: resumes to the same bits, makes no step while its weights are true, and the same losses in two processes."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from emolib.errors import EmolibError
from emolib.fingerprint import file_digest
from emolib.params import Params
from emolib.pipeline.stage import Stage, project_root
from emolib.train.loop import Loop, Training, read_record, record_path, train
from emolib.train.parallel import gather, mixed, share
from emolib.weights import load_into, load_weights, save_weights


@dataclass(kw_only=True)
class SumTraining(Training):
    """A small regression; ``stop_at`` kills it in the middle of that step."""

    width: int = 8
    stop_at: int | None = None

    def prepare(self):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, self.width), nn.BatchNorm1d(self.width), nn.Linear(self.width, 1))
        self.models, self.optimizers = {"m": model}, {"m": torch.optim.Adam(model.parameters(), lr=0.01)}
        self.made = []
        return self

    def draw(self, rng):
        return torch.from_numpy(rng.normal(size=(6, 4))).float()

    def step(self, loop, batch):
        if loop.step == self.stop_at:
            raise KeyboardInterrupt
        batch = share(batch + 0.1 * torch.randn(batch.shape))
        loss = gather((loop.models["m"](batch) - batch.sum(1, keepdim=True)).square()).mean()
        loop.minimize("m", loss, clip=10.0)
        self.made.append(loop.step)
        return {"loss": loss}

    def save(self, path):
        save_weights(path, self.models["m"], {"width": self.width})


def looped(folder, stop_at=None, mark="a", **options):
    training = SumTraining(**({"steps": 12, "seed": 3, "ema": 0.9} | options), stop_at=stop_at).prepare()
    loop = Loop(training, checkpoints=folder, mark=mark, device="cpu", checkpoint_every=5, log_every=3)
    loop.run()
    return training, loop


def test_a_killed_run_continues_to_the_bits_of_an_unbroken_one(tmp_path):
    whole, loop = looped(tmp_path / "whole")
    assert whole.made == list(range(12))
    with pytest.raises(KeyboardInterrupt):
        looped(tmp_path / "killed", stop_at=8)
    resumed, again = looped(tmp_path / "killed")
    assert resumed.made == list(range(5, 12)), "continues from the checkpoint of step 5"
    for name, value in whole.models["m"].state_dict().items():
        assert torch.equal(value, resumed.models["m"].state_dict()[name])
    assert loop.history == again.history


def test_a_checkpoint_of_something_else_or_a_damaged_one_is_not_resumed(tmp_path):
    for change in ("mark", "bytes"):
        with pytest.raises(KeyboardInterrupt):
            looped(tmp_path / change, stop_at=8)
    assert looped(tmp_path / "mark", mark="b")[0].made[0] == 0
    path = tmp_path / "bytes" / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    assert looped(tmp_path / "bytes")[0].made[0] == 0


def test_a_warm_start_is_the_average_so_far_and_changes_nothing(tmp_path):
    (tmp_path / "parent").write_text("weights")
    training, plain = SumTraining(steps=12, seed=3, ema=0.5).prepare(), SumTraining(steps=12, seed=3, ema=0.5).prepare()
    training.parent = tmp_path / "parent"
    Loop(plain, checkpoints=tmp_path / "plain", device="cpu", checkpoint_every=5).run()
    loop = Loop(training, checkpoints=tmp_path / "kept", device="cpu", checkpoint_every=5, warm_start_every=0)
    loop.run()
    manifest = json.loads((tmp_path / "kept" / "warm_start.json").read_text())
    assert (manifest["step"], manifest["of"]) == (10, 12)
    assert manifest["parent"] == file_digest(tmp_path / "parent")
    assert manifest["weights"] == file_digest(tmp_path / "kept" / "warm_start.safetensors")
    assert not (tmp_path / "plain" / "warm_start.safetensors").exists()
    for name, value in plain.models["m"].state_dict().items():
        assert torch.equal(value, training.models["m"].state_dict()[name])
    kept = load_weights(tmp_path / "kept" / "warm_start.safetensors")[0]
    assert any(not torch.equal(value, training.models["m"].state_dict()[name]) for name, value in kept.items())


def trained(folder, **options):
    training = SumTraining(**({"steps": 7, "seed": 3} | options))
    return train(
        training, folder / "sum.safetensors", checkpoints=folder / "checkpoints", device="cpu", plots=folder / "plots"
    )


def test_finished_weights_are_loaded_while_they_are_true(tmp_path):
    first = trained(tmp_path)
    assert first.steps == 7 and load_weights(first.weights)[1] == {"width": 8}
    before = first.weights.read_bytes()
    again = trained(tmp_path)
    assert again.steps == 0 and again.history == first.history and first.weights.read_bytes() == before
    assert trained(tmp_path, seed=4).steps == 7
    assert trained(tmp_path, seed=4, width=9).steps == 7
    assert not list(tmp_path.rglob("checkpoint.safetensors")), "a finished run needs no checkpoint"


def test_a_record_speaks_for_its_own_weights_only(tmp_path):
    weights = trained(tmp_path).weights
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    assert read_record(weights) == {} and trained(tmp_path).steps == 7
    record_path(weights).write_text("{")
    assert trained(tmp_path).steps == 7


def test_curves_are_the_same_whether_trained_or_loaded(tmp_path):
    def curve():
        lines = (tmp_path / "plots/sum/plots/metrics/loss.tsv").read_text().splitlines()
        return [line.split("\t")[1:] for line in lines]

    trained(tmp_path)
    first = curve()
    trained(tmp_path)
    assert curve() == first and len(first) == 2  # the head, and the one step that was logged


def test_first_average_is_by_hand(tmp_path):
    """With the warm-up, the first decay is 1/10: average = 0.1 start + 0.9 after one step."""
    start = SumTraining(steps=1, seed=3).prepare().models["m"].state_dict()["0.weight"].clone()
    plain, _ = looped(tmp_path / "plain", steps=1, ema=0.0)
    averaged, _ = looped(tmp_path / "ema", steps=1)
    after = plain.models["m"].state_dict()["0.weight"]
    assert torch.allclose(averaged.models["m"].state_dict()["0.weight"], 0.1 * start + 0.9 * after, atol=1e-7)


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    training = SumTraining(steps=3, seed=0).prepare()
    training.step = lambda loop, batch: {"loss": torch.tensor(float("nan"))}
    with pytest.raises(FloatingPointError, match="not finite at step 0"):
        Loop(training, checkpoints=tmp_path, device="cpu", log_every=1).run()


def test_weights_round_trip_and_refusals(tmp_path):
    model = nn.Linear(3, 2)
    path = save_weights(tmp_path / "m.safetensors", model, {"width": 3}, dtype=torch.float16)
    state, config = load_weights(path)
    assert config == {"width": 3}
    assert torch.allclose(state["weight"], model.weight, atol=1e-3) and state["weight"].dtype == torch.float32
    with pytest.raises(EmolibError, match="no weights at"):
        load_weights(tmp_path / "none.safetensors")
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(EmolibError, match="damaged"):
        load_weights(path)
    with pytest.raises(EmolibError, match="do not fit"):
        load_into(nn.Linear(4, 2), state, path)


def test_a_stage_knows_its_folders_and_names_what_is_missing(monkeypatch):
    root = project_root(__file__.rsplit("/", 1)[0])
    monkeypatch.chdir(root / "notebooks")
    stage = Stage("04_eac", "full", root, Params())
    assert stage.section == "eac" and stage.params is stage.all.eac
    assert stage.data == root / "data/04_eac/full" and stage.plots == root / "reports/04_eac/full/plots"
    with pytest.raises(EmolibError, match="run `dvc repro 99_nothing` first"):
        stage.input("99_nothing")
    with pytest.raises(EmolibError, match="inside a clone"):
        project_root("/")


def test_the_rate_warms_up_and_falls_along_a_cosine(tmp_path):
    training = SumTraining(steps=100, seed=0).prepare()
    loop = Loop(training, checkpoints=tmp_path, device="cpu")
    rates = []
    for step in (0, 4, 50, 99):
        loop.step = step
        loop.cosine_rate("m", 1.0)
        rates.append(loop.optimizers["m"].param_groups[0]["lr"])
    # Warm-up over 5 steps: 1/5 of the cosine at step 0, all of it from step 4 on; at half time (1 + .02) / 2.
    assert rates[0] == pytest.approx(0.2) and rates[2] == pytest.approx(0.51)
    assert rates[1] == pytest.approx(0.02 + 0.98 * (0.5 + 0.5 * np.cos(np.pi * 0.04))) and rates[3] < 0.03


def test_precision_is_what_the_device_is_fast_in(monkeypatch):
    assert [mixed(p, "auto") for p in ("no", "bf16", "fp16")] == ["no", "bf16", "fp16"]
    assert mixed("auto", "cpu") == "no"
    for has_gpu, has_bf16, wanted in ((False, False, "no"), (True, True, "bf16"), (True, False, "fp16")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda has=has_gpu: has)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda has=has_bf16, **_: has)
        assert mixed("auto", "auto") == wanted
