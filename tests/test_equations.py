"""The paper's losses by hand: Eqs. 2, 5 and 6 of the converter, Eq. 11 of the generator."""

import math
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch

from emolib.eac import Eac
from emolib.face.model import Coefficients
from emolib.face.render import Rendering
from emolib.hef import Hef
from emolib.params import Eac as EacParams
from emolib.params import Hef as HefParams
from emolib.sight import Drive, make_drive
from emolib.train import eac as training
from emolib.train.hef import HefTraining, adversary_weight, r1_penalty, reconstruction


class MeanColour:
    """phi_emo whose features are the mean colour of a picture: (B, 3)."""

    def features(self, images):
        return images.mean((2, 3))


@dataclass
class Painter:
    """Stands for the renderer: paints ``inside`` over the left half of a 4 x 4 picture, and ``outside`` where M does not look."""

    inside: float
    outside: float = 0.0

    def __call__(self, model, theta, pictures):
        mask = torch.zeros(len(pictures), 1, 4, 4)
        mask[..., :2] = 1
        image = torch.full((len(pictures), 3, 4, 4), self.inside)
        image[..., 2:] = self.outside
        return mask * image + (1 - mask) * pictures, Rendering(image, mask, None)


def image_terms(monkeypatch, painter, pictures, emotion_loss=True, relative=True):
    monkeypatch.setattr(training, "composite", painter)
    return training.image_terms(None, None, pictures, MeanColour(), emotion_loss, relative)


def test_eq_6_and_l_rec(monkeypatch):
    """I = .4 everywhere; R(theta) = .6 under M, the left half. L_rec: (.6 - .4)^2 = .04 on the face.

    I3d is .6 on one half, .4 on the other: mean .5. phi(I3d) - phi(I) = (.1, .1, .1), phi(I) = (.4, .4, .4): .1 / .4 = .25.
    """
    pictures = torch.full((2, 3, 4, 4), 0.4)
    terms = image_terms(monkeypatch, Painter(0.6), pictures)
    assert terms["rec"].item() == pytest.approx(0.04) and terms["emo"].item() == pytest.approx(0.25)
    elsewhere = image_terms(monkeypatch, Painter(0.6, outside=0.9), pictures)
    assert {k: v.item() for k, v in elsewhere.items()} == {k: v.item() for k, v in terms.items()}, "only M counts"
    assert set(image_terms(monkeypatch, Painter(0.6), pictures, emotion_loss=False)) == {"rec"}


def test_eq_6_is_in_lengths_of_what_phi_sees(monkeypatch):
    """Two pictures, .2 and .6, each painted .4 on one half: differences .1 and .1, lengths .2 and .6: mean .1 / mean .4 = .25."""
    pictures = torch.stack([torch.full((3, 4, 4), 0.2), torch.full((3, 4, 4), 0.6)])
    terms = image_terms(monkeypatch, Painter(0.4), pictures)
    assert terms["emo"].item() == pytest.approx(0.25)
    plain = image_terms(monkeypatch, Painter(0.4), pictures, relative=False)  # the paper's: the lengths themselves
    assert plain["emo"].item() == pytest.approx(0.1 * 3**0.5)
    assert terms["rec"].item() == pytest.approx(0.04)  # (.2^2 + .2^2) / 2


class FirstNumber:
    """A face whose every landmark lies at (beta_0, 0)."""

    def landmarks(self, alpha, beta, pose, size):
        points = torch.zeros(len(beta), 68, 2)
        points[..., 0] = beta[:, :1]
        return points


def sample(clips=2, frames=3):
    theta = Coefficients.zeros(clips * frames)
    return training.Sample(
        windows=torch.zeros(clips, frames, 4, 80), heard=torch.zeros(clips, 8, 80), mu=torch.ones(clips),
            emotion=torch.zeros(clips, dtype=torch.long), text=torch.eye(8)[:clips],
        image=torch.zeros(clips, 8), told=torch.zeros(clips, dtype=torch.long),
        theta=theta, frame=torch.tensor([1, 2]), picture=torch.full((clips, 3, 4, 4), 0.4),
    )  # fmt: skip


def test_the_terms_of_eq_5(monkeypatch):
    """beta_hat = (2, 0, ... 0) where the truth is 0: L_reg = 2; every landmark is 2 px off, 68 of them: L_lm = 2 sqrt(68)."""
    monkeypatch.setattr(training, "composite", Painter(0.6))
    beta = torch.zeros(2, 3, 64)
    beta[..., 0] = 2.0

    class Told:
        encoding = "onehot"

        def __call__(self, windows, z_emo, mu):
            return beta, None

    terms = training.losses(Told(), sample(), FirstNumber(), MeanColour(), renders=2)
    found = {k: v.item() for k, v in terms.items()}
    assert found == pytest.approx({"clip": 0, "reg": 2, "lm": 2 * math.sqrt(68), "rec": 0.04, "emo": 0.25})
    weights = SimpleNamespace(lambda_clip=1, lambda_emo=2, lambda_rec=100, lambda_lm=0.1, lambda_reg=0.01)
    by_hand = 2 * 0.25 + 100 * 0.04 + 0.1 * 2 * math.sqrt(68) + 0.01 * 2
    assert training.total(terms, weights).item() == pytest.approx(by_hand)


def test_the_weights_of_eq_5_are_the_papers():
    chosen = EacParams()
    weights = [getattr(chosen, f"lambda_{name}") for name in ("clip", "emo", "rec", "lm", "reg")]
    assert weights == [1, 1, 100, 0.1, 0.01], "Sec. 4.1"
    hef = HefParams()
    assert (hef.lambda_rec, hef.lambda_p, hef.lambda_adv) == (5, 5, 1), "Sec. 4.1"


def test_l_clip_adds_two_angles():
    """e_audio = (1, 0); e_img at 90 degrees: 1; e_text at 60: 1 - .5; L_clip = 1.5."""
    eac = SimpleNamespace(encoding="clip", embed_audio=lambda mel: torch.tensor([[1.0, 0.0]]))
    told = SimpleNamespace(heard=None, image=torch.tensor([[0.0, 1.0]]), text=torch.tensor([[0.5, math.sqrt(3) / 2]]))
    z_emo, apart = training.conditions(eac, told)
    assert apart.item() == pytest.approx(1.5)
    torch.testing.assert_close(z_emo, torch.stack([told.text[0], torch.tensor([1.0, 0.0]), told.image[0]]))


def test_the_anchored_term_by_hand():
    """Two classes' texts (1, 0) and (0, 1): less their mean they are opposites, and e_audio less (.5, .5) is the first of them: nearness
    1 and -1, at temperature .1 a cross-entropy of ln(1 + e^-20) if it was meant, 20 more if the other was."""
    eac = SimpleNamespace(
        encoding="clip", embed_audio=lambda heard: torch.tensor([[1.0, 0.0]]), emotion_mean=torch.tensor([0.5, 0.5])
    )
    same = {"heard": None, "image": torch.tensor([[1.0, 0.0]]), "text": torch.tensor([[1.0, 0.0]])}
    found = [
        training.conditions(eac, SimpleNamespace(emotion=torch.tensor([k]), **same), torch.eye(2))[1].item()
        for k in (0, 1)
    ]
    assert found == pytest.approx([0.0, 20.0], abs=1e-4)


def test_l_rec_of_eq_11_weighs_mouth_and_eyes():
    """Error .2 where the focus is 1 (half the picture), 0 elsewhere; weight 4: (.2 * 5 / 2) / ((5 + 1) / 2) = 1/6."""
    truth, image, focus = torch.full((2, 3, 4, 4), 0.3), torch.full((2, 3, 4, 4), 0.3), torch.zeros(2, 1, 4, 4)
    image[..., :2], focus[..., :2] = 0.5, 1.0
    assert reconstruction(image, truth, focus, 4.0).item() == pytest.approx(1 / 6)
    assert reconstruction(image, truth, focus, 0.0).item() == pytest.approx(0.1)


def hef_training(**changed):
    files = dict.fromkeys(("corpus", "ame", "eac", "face_model"))
    return HefTraining(variant="full", size=32, seed=0, **files, **HefParams(steps=100, **changed).training())


def test_eq_11_is_a_weighted_sum_whose_adversary_grows():
    """5 * .1 + 5 * .2 + ramp * 1 * .5, the ramp half way through a run of 100 steps: 1/2."""
    terms = {"rec": torch.tensor(0.1), "perceptual": torch.tensor(0.2), "adversarial": torch.tensor(0.5)}
    terms["faces"] = torch.tensor(0.04)
    assert hef_training().total(terms, 49).item() == pytest.approx(0.5 + 1.0 + 0.2 + 0.25)
    assert [adversary_weight(s, 100, 0.5) for s in (0, 24, 49, 99)] == pytest.approx([0.02, 0.5, 1, 1])
    assert adversary_weight(0, 100, 0.0) == 1


def test_the_adversarial_losses_of_a_critic_that_knows_nothing():
    """Logits 0: the discriminator pays ln 2 for each side."""
    loop = SimpleNamespace(autocast=torch.no_grad, step=1, minimize=lambda name, loss: None)
    verdict = hef_training().judge(loop, lambda x: x.sum((1, 2, 3)) * 0, torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4))
    assert verdict.item() == pytest.approx(2 * math.log(2))
    sure = hef_training().judge(
        loop, lambda x: 40 * (x.mean((1, 2, 3)) - 0.5), torch.zeros(2, 3, 4, 4), torch.ones(2, 3, 4, 4)
    )
    assert sure.item() == pytest.approx(0, abs=1e-6), "20 for real, -20 for made"


def test_r1_is_the_squared_slope():
    assert r1_penalty(lambda x: 3 * x[:, 0, 0, 0], torch.rand(4, 3, 2, 2)).item() == pytest.approx(9)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"windows": torch.zeros(2, 5, 20, 80)}, r"windows are \(2, 5, 20, 80\); expected \(B, T, 8, 80\)"),
        ({"z_emo": torch.zeros(2, 11)}, r"z_emo is \(2, 11\); expected \(B, 12\)"),
        ({"z_emo": torch.zeros(3, 12)}, "3 emotion codes for 2 clips"),
        ({"mu": torch.ones(3)}, r"mu is \(3,\); expected \(2,\)"),
    ],
)
def test_eac_names_what_is_wrong_with_its_inputs(changed, said):
    eac = Eac(embedding_dim=12, window=8, frames=8, dim=16, depth=1, heads=2, audio_depth=1)
    good = {"windows": torch.zeros(2, 5, 8, 80), "z_emo": torch.zeros(2, 12), "mu": torch.ones(2)}
    eac(**good)
    with pytest.raises(ValueError, match=said):
        eac(**good | changed)


def test_hef_names_what_is_wrong_with_its_inputs():
    hef = Hef(size=32, sigma_dim=8, channels=256, channels_max=16, style_dim=16)
    drive = Drive(
        torch.zeros(2, 3, 32, 32),
        torch.zeros(2, 3, 32, 32),
        torch.zeros(2, 2, 32, 32),
        torch.ones(2, 1, 32, 32),
        torch.zeros(2, 1, 32, 32),
        torch.zeros(2, 1, 32, 32),
        torch.zeros(2, 265),
    )
    source = torch.zeros(1, 3, 32, 32)
    hef(source, drive)
    for field, wrong, said in (
        ("motion", torch.zeros(2, 3, 32, 32), r"motion is \(2, 3, 32, 32\); expected \(2, 2, 32, 32\)"),
        ("mask", torch.zeros(1, 1, 32, 32), r"mask is \(1, 1, 32, 32\)"),
        ("style", torch.zeros(2, 257), r"style is \(2, 257\); expected \(B, 265\)"),
    ):
        with pytest.raises(ValueError, match=said):
            hef(source, drive._replace(**{field: wrong}))
    with pytest.raises(ValueError, match="the source has 3 pictures; expected 1 or 2"):
        hef(source.expand(3, -1, -1, -1), drive)
    with pytest.raises(ValueError, match="2 sources, 3 targets"):
        make_drive(None, Coefficients.zeros(2), Coefficients.zeros(3), torch.zeros(1, 8), 32)
    with pytest.raises(ValueError, match=r"sigma \(2, 8\); expected one source"):
        make_drive(None, Coefficients.zeros(1), Coefficients.zeros(3), torch.zeros(2, 8), 32)
