"""What a method costs to run: parameters, memory, time a frame (Table 2)."""

import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from emolib.ame import Ame
from emolib.eac import Eac, predict
from emolib.face.loaders import load_face_model
from emolib.face.model import Coefficients
from emolib.hearing import Windows
from emolib.hef import Hef
from emolib.pipeline.memory import peak_memory
from emolib.portrait import animate


def millions(*modules: torch.nn.Module) -> float:
    """Parameters in millions."""
    return sum(p.numel() for module in modules for p in module.parameters()) / 1e6


def _cost(critics: Path, eac_path: Path, hef_path: Path, n_frames: int) -> dict:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    ame, eac, hef = Ame.load(critics / "clip.safetensors"), Eac.load(eac_path).to(device), Hef.load(hef_path).to(device)
    face, still = load_face_model(), Coefficients.zeros(1)
    z_emo, source = ame.text(["happy"])[0].to(device), torch.full((1, 3, hef.size, hef.size), 0.5)
    sound = 0.1 * np.random.default_rng(0).normal(size=16000 * n_frames // 25).astype(np.float32)

    def once() -> None:
        beta, sigma = predict(eac, Windows.of(eac, sound, n_frames, 25), z_emo, 2.0)
        for _ in animate(hef, face, source, still, still.expand(n_frames).replace(beta=beta.cpu()), sigma):
            pass
        if device.type == "cuda":
            torch.cuda.synchronize()

    once()  # compiles the rasteriser, picks the convolutions
    begin = time.perf_counter()
    once()
    seconds = time.perf_counter() - begin
    if device.type == "cuda":
        memory, machine = torch.cuda.max_memory_allocated() / 1e9, torch.cuda.get_device_name()
    else:
        memory = peak_memory() / 1e9
        machine = f"{torch.get_num_threads()} CPU threads, peak of the whole process"
    parts = {"ame_frozen_params_m": millions(ame.model), "hef_params_m": millions(hef)}
    parts["ame_audio_params_m"] = millions(eac.audio) if eac.audio is not None else 0.0
    parts["eac_params_m"] = millions(eac) - parts["ame_audio_params_m"]
    learned = parts["ame_audio_params_m"] + parts["eac_params_m"] + parts["hef_params_m"]
    costs = {"memory_gb": memory, "ms_per_frame": 1000 * seconds / n_frames}
    return parts | costs | {"params_m": learned, "machine": machine, "size_px": hef.size}


def inference_cost(critics: str | Path, eac: str | Path, hef: str | Path, n_frames: int = 32) -> dict:
    """Parameters, peak memory and time a frame of AME + EAC + rendering + HEF, measured in a process of its own.

    From speech and a fitted source to frames; without fitting the source and without writing video. The paper's count
    must leave CLIP's own towers out (they alone have 151 M), and so does ``params_m``; ours are counted in
    ``ame_frozen_params_m``.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_cost, Path(critics), Path(eac), Path(hef), n_frames).result()
