import pytest
import torch
from torch import nn

from emolib.errors import EmolibError
from emolib.pipeline.stage import Stage, project_root
from emolib.train.loop import Trainer
from emolib.weights import load_into, load_weights, save_weights


def run(folder, stop_at=None, steps=12, seed=3, ema=0.9, fingerprint="a"):
    """A small regression; ``stop_at`` kills it in the middle of that step."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 1))
    trainer = Trainer(
        {"m": model},
        {"m": torch.optim.Adam(model.parameters(), lr=0.01)},
        steps=steps,
        seed=seed,
        checkpoints=folder,
        fingerprint=fingerprint,
        ema=ema,
        device="cpu",
        checkpoint_every=5,
        log_every=3,
        plots=folder / "plots",
    )
    done = []
    for step in trainer:
        if step == stop_at:
            raise KeyboardInterrupt
        x = torch.from_numpy(trainer.rng.normal(size=(6, 4))).float() + 0.1 * torch.randn(6, 4)
        loss = (trainer.models["m"](x) - x.sum(1, keepdim=True)).square().mean()
        trainer.minimize("m", loss, clip=10.0)
        trainer.log(loss=loss)
        done.append(step)
    return trainer, done


def test_a_killed_run_continues_to_the_bits_of_an_unbroken_one(tmp_path):
    whole, done = run(tmp_path / "whole")
    assert done == list(range(12))
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", stop_at=8)
    resumed, done = run(tmp_path / "killed")
    assert done == list(range(5, 12)), "continues from the checkpoint of step 5"
    for name in whole.unwrap("m").state_dict():
        assert torch.equal(whole.unwrap("m").state_dict()[name], resumed.unwrap("m").state_dict()[name])
        assert torch.equal(whole.averages["m"][name], resumed.averages["m"][name])
    assert whole.history == resumed.history
    curve = "plots/train/plots/metrics/loss.tsv"
    columns = [
        [line.split("\t")[1:] for line in (tmp_path / k / curve).read_text().splitlines()] for k in ("whole", "killed")
    ]
    assert columns[0] == columns[1] and len(columns[0]) == 1 + len(whole.history)


def test_a_finished_run_does_nothing_and_other_parameters_start_again(tmp_path):
    run(tmp_path)
    assert run(tmp_path)[1] == []
    assert len(run(tmp_path, fingerprint="b")[1]) == 12
    assert len(run(tmp_path, fingerprint="b", seed=4)[1]) == 12


def test_a_damaged_checkpoint_is_trained_again(tmp_path):
    run(tmp_path)
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    assert len(run(tmp_path)[1]) == 12


def test_first_average_is_by_hand(tmp_path):
    """With the warm-up, the first decay is 1/10: average = 0.1 start + 0.9 after one step."""
    trainer, _ = run(tmp_path, steps=1)
    torch.manual_seed(0)
    start = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 1)).state_dict()["0.weight"]
    after = trainer.unwrap("m").state_dict()["0.weight"]
    assert torch.allclose(trainer.averages["m"]["0.weight"], 0.1 * start + 0.9 * after, atol=1e-7)


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    model = nn.Linear(1, 1)
    trainer = Trainer({"m": model}, {}, steps=3, seed=0, checkpoints=tmp_path, device="cpu", log_every=1)
    with pytest.raises(FloatingPointError, match="not finite at step 0"):
        for _ in trainer:
            trainer.log(loss=float("nan"))


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
    stage = Stage("04_eac", "full", root, __import__("emolib.params", fromlist=["Params"]).Params())
    assert stage.section == "eac" and stage.params is stage.all.eac
    assert stage.data == root / "data/04_eac/full" and stage.plots == root / "reports/04_eac/full/plots"
    with pytest.raises(EmolibError, match="run `dvc repro 99_nothing` first"):
        stage.input("99_nothing")
    with pytest.raises(EmolibError, match="inside a clone"):
        project_root("/")
