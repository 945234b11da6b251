"""Training of AME's image tower against its locked text tower (LiT: Zhai et al., CVPR 2022)."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from emolib.ame import Ame
from emolib.params import EMOTIONS, INTENSITIES
from emolib.prompts import sample_prompt
from emolib.train.augment import augment
from emolib.train.loop import Trainer, cosine_rate

WORDINGS = 16  # prompts drawn for each emotion and intensity to train towards


def label_bank(ame: Ame, seed: int = 0) -> Tensor:
    """(8, 3, K, D): K random wordings of each emotion at each intensity, the targets of :func:`train_clip`."""
    rng = np.random.default_rng(seed)
    labels = [(e, i) for e in EMOTIONS for i in INTENSITIES for _ in range(WORDINGS)]
    rows = ame.encode([sample_prompt(rng, e, i, ame.config["templates"]) for e, i in labels])
    return rows.reshape(len(EMOTIONS), len(INTENSITIES), WORDINGS, -1)


def train_clip(ame: Ame, bank, *, steps: int, batch_size: int, lr: float, seed: int, **trainer) -> Trainer:
    """Trains the image tower of ``ame`` in place against its locked text tower (LiT).

    Loss: cross-entropy over the eight class embeddings (temperature 0.03), which tells emotions apart, plus the cosine distance to
    one random wording of the clip's own emotion and intensity, which puts images where the texts are.

    bank: :class:`emolib.train.emotion.FrameBank`. trainer: what else :class:`emolib.train.loop.Trainer` takes.
    """
    visual = ame.model.visual.requires_grad_(True).train()
    optimizer = torch.optim.AdamW(visual.parameters(), lr=lr, weight_decay=0.05)
    run = Trainer({"clip": visual}, {"clip": optimizer}, steps=steps, seed=seed, ema=0.98, name="clip", **trainer)
    ame.to(run.device)
    anchors, wordings = ame.text(EMOTIONS), label_bank(ame, seed)  # (8, D), (8, 3, K, D)
    for step in run:
        cosine_rate(run.optimizers["clip"], step, steps, lr)
        images, emotion, intensity = bank.sample(run.rng, batch_size)
        images = augment(images[:, 0].to(run.device), run.rng, step / steps)
        emotion, intensity = emotion.to(run.device), intensity.to(run.device)
        with run.autocast():
            output = run.models["clip"](ame.preprocess(images))
        embedding = F.normalize(output.float(), dim=1)
        wording = torch.as_tensor(run.rng.integers(wordings.shape[2], size=batch_size), device=run.device)
        contrast = F.cross_entropy(embedding @ anchors.T / 0.03, emotion, label_smoothing=0.1)
        distance = (1 - (embedding * wordings[emotion, intensity - 1, wording]).sum(1)).mean()
        run.minimize("clip", contrast + distance, clip=1.0)
        run.log(loss=contrast + distance, contrast=contrast, distance=distance)
    ame.model.visual = run.finish("clip")
    return run
