"""Weights on disk: safetensors with the configuration that rebuilds the model in the header."""

import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from emolib.errors import EmolibError


def save_weights(
    path: str | Path, module: torch.nn.Module | dict, config: dict, dtype: torch.dtype | None = None
) -> Path:
    """Writes ``module``'s state (or a dict of tensors) and its JSON-able ``config``; floats as ``dtype`` if given."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    state = module.state_dict() if isinstance(module, torch.nn.Module) else module
    tensors = {
        k: (v.to(dtype) if dtype and v.is_floating_point() else v).detach().cpu().contiguous().clone()
        for k, v in state.items()
    }
    temporary = path.with_name(path.name + ".tmp")
    save_file(tensors, temporary, metadata={"config": json.dumps(config)})
    os.replace(temporary, path)
    return path


def load_weights(path: str | Path) -> tuple[dict[str, torch.Tensor], dict]:
    """(state as float32 tensors on the CPU, config). Raises :class:`EmolibError` for a missing or damaged file."""
    path = Path(path)
    if not path.is_file():
        raise EmolibError(f"no weights at {path}; run `make repro` to train them or point to a folder that holds them")
    try:
        with safe_open(path, framework="pt") as file:
            config = json.loads((file.metadata() or {}).get("config", "null"))
            state = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, json.JSONDecodeError) as error:
        raise EmolibError(f"the weights {path} are damaged ({error}); fetch or train them again") from None
    if config is None:
        raise EmolibError(f"the weights {path} carry no configuration; expected a file written by this project")
    return {k: v.float() if v.is_floating_point() else v for k, v in state.items()}, config


def load_into(module: torch.nn.Module, state: dict, path: str | Path) -> torch.nn.Module:
    """``module`` with ``state`` loaded, frozen and in eval mode; a mismatch names ``path``."""
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise EmolibError(f"the weights {path} do not fit the model: {str(error).splitlines()[-1].strip()}") from None
    return module.eval().requires_grad_(False)
