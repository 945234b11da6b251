"""``make release``: what the pipeline trained becomes the weights that ``emolib talk`` uses, in ``data/pretrained/``.

Half precision, with a manifest of sha256, the parameters and the commit that made them. The manifest is written last: a folder
without one, or with a file that does not match it, is refused by :func:`emolib.weights.verify`.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import torch

from emolib.critics.shipped import FILES
from emolib.errors import EmolibError
from emolib.face.covers import WEIGHTS as COVERS
from emolib.face.dense import WEIGHTS as DENSE
from emolib.face.loaders import SHIPPED, load_face_model
from emolib.files import check_input, write_atomic
from emolib.fingerprint import code
from emolib.params import load_params
from emolib.pipeline.stage import project_root
from emolib.train.loop import read_record
from emolib.weights import load_weights, save_weights, sha256, verify

SOURCES = {
    "clip.safetensors": "data/03_critics/clip.safetensors",
    "eac.safetensors": "data/04_eac/full/eac.safetensors",
    "hef.safetensors": "data/05_hef/full/hef.safetensors",
    "ecg_landmarks.safetensors": "data/06_ecg/landmarks.safetensors",
    "ecg_texture.safetensors": "data/06_ecg/texture.safetensors",
}
CONVERTER = "data/pretrained/converter/eac.safetensors"
BESIDE = (
    "foundation/*",
    "converter/*.safetensors",
    "judges/*.safetensors",
    "words.safetensors",
)  # made by `make foundation`, `make converter`, `make judges`, `make words`
ON_THE_FACE_NET = {path.name: path for path in (DENSE, COVERS)}  # made by `make landmarks`, `make covers`
LIMIT_MB = 64  # all that ships
# Whose code makes each shipped file; of the image tower, where it is one of the judges that ship, the crowd's.
MAKERS = {
    "clip.safetensors": ("emolib.train.ame", "emolib.train.crowd"),
    "eac.safetensors": ("emolib.train.eac", "emolib.train.acted"),
    "hef.safetensors": ("emolib.train.hef",),
    "ecg_landmarks.safetensors": ("emolib.baselines.ecg.train_landmarks",),
    "ecg_texture.safetensors": ("emolib.baselines.ecg.train_texture",),
    DENSE.name: ("emolib.train.dense",),
    COVERS.name: ("emolib.train.covers",),
    SHIPPED: ("synthface.build",),
}


def release(root: Path, target: Path) -> dict:
    """Copies the trained weights of ``root`` to ``target`` as fp16 and writes the manifest; returns it. The converter is
    that of ``make converter`` where ``eac.converter`` says so."""
    params, sources = load_params(root / "params.yaml"), dict(SOURCES)
    converter: dict = {}
    if params.eac.converter == "shipped":
        sources["eac.safetensors"], note = CONVERTER, check_input(root / CONVERTER, "weights", "run `make converter`")
        converter = json.loads(note.with_name("manifest.json").read_text())
    target.mkdir(parents=True, exist_ok=True)
    before = _noted(target)
    with tempfile.TemporaryDirectory(dir=target) as staged:
        for name, source in sources.items():
            state, config = load_weights(root / source)
            save_weights(Path(staged) / name, state, config, dtype=torch.float16)
        if not (target / SHIPPED).is_file():
            load_face_model().save(Path(staged) / SHIPPED)
        for name, path in ON_THE_FACE_NET.items():
            if not (target / name).is_file():
                shutil.copyfile(path, Path(staged) / name)
        fresh = {file.name: file for file in Path(staged).iterdir()}
        names = sorted([*SOURCES, SHIPPED, *ON_THE_FACE_NET])
        all_files = {name: fresh.get(name, target / name) for name in names}
        size = sum(file.stat().st_size for file in all_files.values()) / 1e6
        shipped = size + sum(file.stat().st_size for what in BESIDE for file in target.glob(what)) / 1e6
        if shipped > LIMIT_MB:
            raise EmolibError(
                f"the release is {shipped:.1f} MB with foundation, converter, judges and words; expected at most {LIMIT_MB}: train less"
            )
        (target / "manifest.json").unlink(missing_ok=True)
        for name, file in fresh.items():
            file.replace(target / name)
    files = {name: sha256(target / name) for name in all_files}
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True).stdout.strip()
    manifest = {"commit": commit, "megabytes": round(size, 2), "files": files}
    made = {name: read_record(root / source).get("code") for name, source in sources.items()}
    if converter:
        made["eac.safetensors"] = converter["code"]
    made |= {name: read_record(target / name).get("code") for name in ON_THE_FACE_NET}
    made["clip.safetensors"] = made["clip.safetensors"] or _judged(root / SOURCES["clip.safetensors"])
    manifest["code"] = {name: made.get(name) or before.get((name, digest)) for name, digest in files.items()}
    manifest["params"] = asdict(params)
    metrics = {
        s: root / "reports" / s / "measures.json" for s in ("03_critics", "04_eac/full", "05_hef/full", "06_ecg")
    }
    measured = {s: json.loads(p.read_text()) for s, p in metrics.items() if p.is_file()}
    if converter:  # 04 then measures another one
        measured = {s: m for s, m in measured.items() if s != "04_eac/full"} | {"converter": converter["measured"]}
    manifest["measured"] = measured
    write_atomic(target / "manifest.json", json.dumps(manifest, indent=2) + "\n")
    return manifest


def _judged(tower: Path) -> str | None:
    """The code that made an image tower which is the shipped judge."""
    if not FILES[-1].is_file():
        return None
    manifest = json.loads(FILES[-1].read_text())
    return manifest["judges"]["clip"]["code"] if manifest["files"].get(tower.name) == sha256(tower) else None


def _noted(folder: Path) -> dict[tuple[str, str], str]:
    """(name, sha256) -> code of the files of a release that is to be replaced: what stays the same keeps its maker."""
    try:
        manifest = verify(folder)
    except EmolibError:
        return {}
    return {(name, digest): manifest.get("code", {}).get(name) for name, digest in manifest["files"].items()}


def stale(folder: str | Path) -> dict[str, str]:
    """Shipped file -> why it may not be what today's code would make; empty if all are."""
    manifest = verify(folder)
    found = {}
    for name in manifest["files"]:
        made = manifest.get("code", {}).get(name)
        if made is None:
            found[name] = "nobody noted which code made it"
        elif made not in map(code, MAKERS[name]):
            found[name] = (
                f"the code of {' or '.join(MAKERS[name])}, or of what it imports, has changed since it was made"
            )
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m emolib.pipeline.release", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--stale", action="store_true", help="list shipped files whose code has changed since they were made"
    )
    try:
        root = project_root()
        if parser.parse_args().stale:
            found = stale(root / "data" / "pretrained")
            for name, why in found.items():
                print(f"{name}: {why}")
            return 1 if found else 0
        manifest = release(root, root / "data" / "pretrained")
    except EmolibError as error:
        print(f"emolib: {error}", file=sys.stderr)
        return 2
    print(f"data/pretrained: {', '.join(manifest['files'])}, {manifest['megabytes']} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
