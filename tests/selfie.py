"""What the original net of persons answers, in MediaPipe: ``python tests/selfie.py`` writes tests/selfie.npz.

In an environment of its own, with mediapipe==0.10.14, numpy<2 and scikit-image: LiteRT alone lacks the net's last layer.
"""

from pathlib import Path

import numpy as np
import skimage.data

STORED = Path(__file__).with_suffix(".npz")
EVERY = 4  # pixels apart in which the answer is kept


def pictures() -> np.ndarray:
    """Three pictures (3, 256, 256, 3) uint8, by whole numbers only: one person, the same dark and turned, none."""
    person = skimage.data.astronaut()[::2, ::2]
    return np.stack([person, np.rot90(person) // 3, skimage.data.coffee()[:256, :256]]).astype(np.uint8)


def main() -> None:
    import mediapipe

    net = mediapipe.solutions.selfie_segmentation.SelfieSegmentation(model_selection=0)
    seen = []
    for picture in pictures():
        net.reset()
        seen.append(net.process(np.ascontiguousarray(picture)).segmentation_mask[::EVERY, ::EVERY])
    np.savez_compressed(STORED, seen=np.stack(seen).astype(np.float16))


if __name__ == "__main__":
    main()
