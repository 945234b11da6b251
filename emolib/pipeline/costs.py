"""What a method costs to run: parameters, memory, time a frame (Table 2). Each is measured in a process of its own."""

import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from emolib.ame import Ame
from emolib.baselines.ecg.landmarks import LandmarkGenerator
from emolib.baselines.ecg.texture import TextureGenerator, ecg_animate
from emolib.eac import Eac, predict
from emolib.face.loaders import load_face_model
from emolib.face.model import Coefficients
from emolib.hearing import Windows
from emolib.hef import Hef
from emolib.pipeline.memory import peak_memory
from emolib.portrait import animate
from emolib.train.loop import read_record

# The profile ``paper`` (conf/profile/paper.yaml; a test compares them).
PAPER_EAC: dict[str, Any] = {"audio": "mel", "window": 20, "frames": 32, "dim": 512, "depth": 6}
PAPER_HEF: dict[str, Any] = {"channels": 16384, "channels_max": 384}


def millions(*modules: torch.nn.Module) -> float:
    """Parameters in millions."""
    return sum(p.numel() for module in modules for p in module.parameters()) / 1e6


def _sound(n_frames: int) -> np.ndarray:
    return 0.1 * np.random.default_rng(0).normal(size=16000 * n_frames // 25).astype(np.float32)


def _measured(once: Callable[[], object], n_frames: int, parts: dict[str, float]) -> dict:
    """``parts`` and what ``once``, which makes ``n_frames``, takes when it is called again (the first call compiles)."""
    gpu = torch.cuda.is_available()
    for _ in range(2):
        begin = time.perf_counter()
        once()
        if gpu:
            torch.cuda.synchronize()
    seconds = time.perf_counter() - begin
    if gpu:
        memory, machine = torch.cuda.max_memory_allocated() / 1e9, torch.cuda.get_device_name()
    else:
        memory, machine = peak_memory() / 1e9, f"{torch.get_num_threads()} CPU threads, peak of the whole process"
    costs = {"memory_gb": memory, "ms_per_frame": 1000 * seconds / n_frames}
    return parts | costs | {"machine": machine}


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _run(eac: Eac, hef: Hef, z_emo: torch.Tensor, n_frames: int, frozen: float) -> dict:
    """The costs of EAC, rendering and HEF; ``frozen``: parameters of AME's towers, M."""
    face, still, device = load_face_model(), Coefficients.zeros(1), _device()
    eac, hef, source = eac.to(device), hef.to(device), torch.full((1, 3, hef.size, hef.size), 0.5)

    def once() -> None:
        beta, sigma = predict(eac, Windows.of(eac, _sound(n_frames), n_frames, 25), z_emo.to(device), 2.0)
        for _ in animate(hef, face, source, still, still.expand(n_frames).replace(beta=beta.cpu()), sigma):
            pass

    audio = millions(eac.audio) if eac.audio is not None else 0.0
    parts = {"ame_frozen_params_m": frozen, "ame_audio_params_m": audio, "eac_params_m": millions(eac) - audio}
    parts |= {"hef_params_m": millions(hef), "params_m": millions(eac, hef), "size_px": hef.size}
    return _measured(once, n_frames, parts)


def _ours(critics: Path, eac: Path, hef: Path, n_frames: int) -> dict:
    ame = Ame.load(critics / "clip.safetensors")
    return _run(Eac.load(eac), Hef.load(hef), ame.text(["happy"])[0], n_frames, millions(ame.model))


def _paper(size: int, n_frames: int) -> dict:
    eac = Eac(embedding_dim=512, audio_depth=PAPER_EAC["depth"], reading=False, pe_scale=1.0, **PAPER_EAC).eval()
    hef = Hef(size=size, sigma_dim=PAPER_EAC["dim"], detail=False, mesh_motion=False, **PAPER_HEF).eval()
    with torch.no_grad():
        return _run(eac, hef, torch.nn.functional.normalize(torch.ones(512), dim=0), n_frames, float("nan"))


def _ecg(landmarks: Path, texture: Path, size: int, n_frames: int) -> dict:
    nets = [net.to(_device()) for net in (*LandmarkGenerator.load(landmarks), TextureGenerator.load(texture))]
    face, own = load_face_model().to(_device()), Coefficients.zeros(1)
    picture, pose = np.full((size, size, 3), 128, np.uint8), torch.zeros(n_frames, 6)

    def once() -> None:
        ecg_animate(*nets, face, picture, own, _sound(n_frames), "happy", 2, pose=pose, fps=25.0)

    return _measured(once, n_frames, {"params_m": millions(*nets), "size_px": size})


def _alone(work: Callable[..., dict], *arguments) -> dict:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def inference_cost(critics: str | Path, eac: str | Path, hef: str | Path, n_frames: int = 32) -> dict:
    """Parameters, peak memory and time a frame of AME + EAC + rendering + HEF.

    From speech and a fitted source to frames; without fitting the source and without writing video. CLIP's own towers (they alone have
    151 M) are no part of ``params_m``; ours are counted in ``ame_frozen_params_m``.
    """
    return _alone(_ours, Path(critics), Path(eac), Path(hef), n_frames)


def paper_cost(size: int, n_frames: int = 4) -> dict:
    """The same of the networks of the profile ``paper`` at ``size`` px, with weights as drawn: costs do not depend on what is learnt."""
    return _alone(_paper, size, n_frames)


def ecg_cost(landmarks: str | Path, texture: str | Path, size: int, n_frames: int = 32) -> dict:
    """The same of ECG, one-shot tuning included, at ``size`` px."""
    return _alone(_ecg, Path(landmarks), Path(texture), size, n_frames)


def training_cost(*weights: Path) -> float:
    """Hours that the trainings of ``weights`` took by their records (steps x ms a step), each on the machine that made it."""
    records = [read_record(path) for path in weights]
    return sum(r["steps"] * r["step_ms"] for r in records) / 3.6e6
