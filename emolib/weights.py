"""Weights on disk: safetensors with the configuration that rebuilds the model in the header; and the folder of those that ship."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from emolib.errors import EmolibError
from emolib.files import check_input, read_text, replacing

Net = TypeVar("Net", bound=torch.nn.Module)
PACKAGE = Path(__file__).resolve().parent
# Beside the modules in an installed wheel, under data/ in a checkout.
PRETRAINED = PACKAGE / "pretrained" if (PACKAGE / "pretrained").is_dir() else PACKAGE.parent / "data" / "pretrained"


def save_weights(
    path: str | Path, module: torch.nn.Module | dict, config: dict, dtype: torch.dtype | None = None
) -> Path:
    """Writes ``module``'s state (or a dict of tensors) and its JSON-able ``config``; floats as ``dtype`` if given."""
    state = module.state_dict() if isinstance(module, torch.nn.Module) else module
    tensors = {
        k: (v.to(dtype) if dtype and v.is_floating_point() else v).detach().cpu().contiguous().clone()
        for k, v in state.items()
    }
    with replacing(path) as temporary:
        temporary.touch()
        mode = temporary.stat().st_mode  # as files here are; safetensors would let nobody else read them
        try:
            save_file(tensors, temporary, metadata={"config": json.dumps(config)})
        except SafetensorError as error:  # its name for a full disk, too
            raise EmolibError(f"cannot write {path} ({error}); make room or choose another output") from None
        temporary.chmod(mode)
    return Path(path)


def load_weights(path: str | Path) -> tuple[dict[str, torch.Tensor], dict]:
    """(state as float32 tensors on the CPU, config). Raises :class:`EmolibError` for a missing or damaged file."""
    path = check_input(path, "weights", "run `make repro` to train them or point to a folder that holds them")
    try:
        with safe_open(path, framework="pt") as file:
            config = json.loads((file.metadata() or {}).get("config", "null"))
            state = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise EmolibError(f"the weights {path} are damaged ({error}); fetch or train them again") from None
    if not isinstance(config, dict):
        raise EmolibError(f"the weights {path} carry no configuration; expected a file written by this project")
    for name, tensor in state.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise EmolibError(f"the weights {path} are not all finite, e.g. in {name}; fetch or train them again")
    return {k: v.float() if v.is_floating_point() else v for k, v in state.items()}, config


def load_into(module: Net, state: dict, path: str | Path) -> Net:
    """``module`` with ``state`` loaded, frozen and in eval mode; a mismatch names ``path``."""
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise EmolibError(f"the weights {path} do not fit the model: {str(error).splitlines()[-1].strip()}") from None
    return module.eval().requires_grad_(False)


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def verify(folder: str | Path, needed: Iterable[str] = ()) -> dict:
    """The manifest of a weights folder. EmolibError if it or a file it names is missing or damaged, or if it names not all ``needed``."""
    folder = Path(folder)
    path = folder / "manifest.json"
    if not path.is_file():
        raise EmolibError(f"no weights in {folder} (manifest.json is missing); run `make repro` and `make release`")
    try:
        manifest = json.loads(read_text(path, "manifest", "run `make release` again"))
        files = {str(name): str(digest) for name, digest in manifest["files"].items()}
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        raise EmolibError(f"the manifest {path} is damaged; run `make release` again") from None
    if strange := [name for name in files if Path(name).name != name]:
        raise EmolibError(
            f"the manifest {path} names {strange[0]!r}, which is no file beside it; run `make release` again"
        )
    if missing := [name for name in needed if name not in files]:
        raise EmolibError(f"the manifest {path} does not name {', '.join(missing)}; run `make release` again")
    for name, digest in files.items():
        if not (folder / name).is_file():
            raise EmolibError(f"no weights at {folder / name}, which the manifest names; run `make release` again")
        if sha256(folder / name) != digest:
            raise EmolibError(f"the weights {folder / name} are damaged (sha256 differs); fetch or make them again")
    return manifest
