import numpy as np
import pytest
import torch
import torch.nn.functional as F

from emolib.ame import DEFAULT_MODEL, Ame, _minilm_folder
from emolib.emotions import EMOTIONS
from emolib.errors import EmolibError
from emolib.train.ame import ClipTraining, label_bank
from emolib.train.emotion import FrameBank
from emolib.train.loop import Loop


@pytest.fixture(scope="module")
def ame():
    return Ame.create(seed=1)


def nearest(ame, text):
    return EMOTIONS[int((ame.text([text]) @ ame.text(EMOTIONS).T).argmax())]


def test_text_tower_is_minilm_sentence_embedding(ame):
    """Against the published recipe: BERT, mean over the tokens, L2 norm, without open_clip."""
    from transformers import AutoModel, AutoTokenizer

    folder = str(_minilm_folder())
    sentence = "The man at the window looks deeply worried"
    tokens = AutoTokenizer.from_pretrained(folder)(sentence, return_tensors="pt")
    with torch.no_grad():
        hidden = AutoModel.from_pretrained(folder)(**tokens).last_hidden_state[0].mean(0)
    torch.testing.assert_close(ame.text([sentence]), ame.head(F.normalize(hidden, dim=0)[None]), atol=1e-5, rtol=0)


def test_text_is_unit_length_in_order_and_does_not_depend_on_its_batch(ame):
    rows = ame.text(["sad", "sadly surprised", "sad"])
    assert rows.shape == (3, ame.dim)
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(3))
    assert torch.equal(rows[0], rows[2])
    torch.testing.assert_close(
        Ame(ame.model, ame.tokenizer, ame.config).text(["sadly surprised"])[0], rows[1], atol=1e-5, rtol=0
    )


def test_unseen_words_lie_near_the_right_emotion(ame):
    words = {"Panicked": "fear", "heartbroken": "sad", "shocked.": "surprised", "outraged": "angry"}
    assert {word: nearest(ame, word) for word in words} == words


@pytest.mark.parametrize("text", ["", "  ", 3])
def test_a_text_without_words_is_refused(ame, text):
    with pytest.raises(EmolibError, match="emotion text"):
        ame.text([text])


def test_names_that_do_not_exist_are_refused():
    with pytest.raises(EmolibError, match="clip_model"):
        Ame.create("ViT-B-33", "openai")
    with pytest.raises(EmolibError, match="clip_pretrained"):
        Ame.create("ViT-B-32")
    with pytest.raises(EmolibError, match="ViT-B-32.*no/such/file"):
        Ame.create("ViT-B-32", "no/such/file.pt")
    with pytest.raises(EmolibError, match="template"):
        Ame.create(templates=["a face"])


def test_image_embeddings_take_any_size_and_carry_gradients(ame):
    images = torch.rand(2, 3, 96, 96, requires_grad=True)
    embedding = ame.image(images)
    torch.testing.assert_close(embedding.detach().norm(dim=1), torch.ones(2))
    embedding[:, 0].sum().backward()
    assert images.grad.abs().sum() > 0
    with pytest.raises(ValueError, match=r"\(B, 3, H, W\)"):
        ame.image(torch.rand(3, 64, 64))


def test_save_and_load(ame, tmp_path):
    path = ame.save(tmp_path / "clip.safetensors")
    assert path.stat().st_size < 3e6
    again, images = Ame.load(path), torch.rand(2, 3, 64, 64)
    assert again.config == ame.config and again.config["model"] == DEFAULT_MODEL
    torch.testing.assert_close(again.image(images), ame.image(images), atol=5e-3, rtol=0)
    assert torch.equal(again.text(["awe"]), ame.text(["awe"]))


def test_training_puts_images_at_their_words(tmp_path):
    """Two emotions, light above or light below: a few steps tell them apart, and the text tower stays as it is."""
    ame = Ame.create(seed=2)
    images = torch.full((4, 2, 3, 64, 64), 40, dtype=torch.uint8)
    images[:2, :, :, :32] = 210
    images[2:, :, :, 32:] = 210
    emotion = torch.tensor([6, 6, 5, 5])
    bank = FrameBank(images, emotion, torch.full((4,), 2), ("a", "b", "a", "b"))
    before = ame.text(["sad"]).clone()
    training = ClipTraining(
        corpus=None,
        face_model=None,
        templates=(),
        steps=12,
        seed=3,
        batch_size=8,
        lr=3e-3,
        frames_per_clip=2,
        cache_mb=1,
    )
    training.ame, training.bank = ame, bank
    training.anchors, training.wordings = ame.text(EMOTIONS), label_bank(ame, 3)
    visual = ame.model.visual.requires_grad_(True).train()
    training.models, training.optimizers = {"clip": visual}, {"clip": torch.optim.AdamW(visual.parameters(), lr=3e-3)}
    history = Loop(training, checkpoints=tmp_path, device="cpu").run()
    ame.model.visual.train()  # in twelve steps the running statistics of BatchNorm have not settled
    seen = images[:, 0].float() / 255 + 0.01 * torch.rand(4, 3, 64, 64)
    assert torch.equal(ame.similarity(seen).argmax(1), emotion)
    middle = ame.image(seen).mean(0)
    centred = ame.similarity(seen, ["happy", "sad"], middle=middle)
    assert torch.allclose(centred[:, 0], -centred[:, 1], atol=1e-4), (
        "of two texts less their mean one is the other's opposite"
    )
    assert torch.equal(centred.argmax(1), (emotion == 6).long())
    assert history[-1]["loss"] < np.log(8) + 0.5
    assert torch.equal(Ame(ame.model, ame.tokenizer, ame.config).text(["sad"]), before)
