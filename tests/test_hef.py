from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F

from emolib.critics.perceptual import FaceDistance, Perceptual, require_backbones
from emolib.errors import EmolibError
from emolib.face.loaders import load_face_model
from emolib.face.model import Coefficients, FaceModel
from emolib.hef import VARIANTS, Hef
from emolib.layers import StyleConv, up, warp
from emolib.params import Hef as HefParams
from emolib.portrait import animate
from emolib.sight import Drive, make_drive
from emolib.train.codes import Codes
from emolib.train.hef import Batch, Discriminator, HefTraining, Pairs, focus_map, r1_penalty, recolour
from emolib.train.hef_scores import OVER_MESH, flow_errors, hef_scores, over_mesh
from emolib.train.loop import Loop

SIZE, SIGMA = 32, 8


def small(variant="full", **options) -> Hef:
    torch.manual_seed(0)
    return Hef(size=SIZE, sigma_dim=SIGMA, variant=variant, channels=256, channels_max=16, style_dim=16, **options)


def wish(batch=2, seed=0) -> Drive:
    """A smooth random motion, as the mesh would make, of a face that the source shows whole, and random pictures."""
    random = torch.Generator().manual_seed(seed)
    motion = F.interpolate(0.1 * torch.randn(batch, 2, 4, 4, generator=random), (SIZE, SIZE), mode="bicubic")
    pictures = [torch.rand(batch, 3, SIZE, SIZE, generator=random) for _ in range(2)]
    style = torch.randn(batch, 257 + SIGMA, generator=random)
    shares = [share * torch.ones(batch, 1, SIZE, SIZE) for share in (1, 0, 0)]
    return Drive(*pictures, motion, *shares, style)


def picture(seed=3) -> torch.Tensor:
    return torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def model() -> FaceModel:
    return load_face_model()


def test_warp_by_one_pixel_is_a_shift():
    image = picture()
    flow = torch.zeros(1, 2, SIZE, SIZE)
    flow[:, 0] = 2 / SIZE  # backward: the pixel shows what lies one to its right
    torch.testing.assert_close(warp(image, flow)[..., :-1], image[..., 1:], atol=1e-5, rtol=0)


def test_untrained_generators_show_the_source():
    asked, source = wish(), picture()
    moved = warp(source, asked.motion)
    torch.testing.assert_close(small("full")(source, asked).image, moved, atol=1e-5, rtol=0)
    torch.testing.assert_close(small("wo_res")(source, asked).image, source.expand(2, -1, -1, -1), atol=1e-5, rtol=0)
    coarse = small("wo_hie")(source, asked)
    assert 0.001 < (coarse.image - moved).abs().mean() < 0.2  # M is only known at size / 8
    still = asked._replace(motion=torch.zeros_like(asked.motion))
    torch.testing.assert_close(coarse.image * 0 + source, small("wo_hie")(source, still).image, atol=1e-5, rtol=0)


def test_flow_of_each_variant():
    """Eq. 9 and the two rows of Table 3, on random flow heads."""
    for variant in VARIANTS:
        hef = small(variant)
        torch.manual_seed(1)
        for block in hef.blocks:
            if block.flow is not None:
                torch.nn.init.normal_(block.flow.last.weight)
        flows = hef(picture(), wish()).flows
        assert [f.shape[-1] for f in flows] == hef.sides == [8, 16, 32]
        if variant == "wo_hie":
            assert [b.flow is not None for b in hef.blocks] == [True, False, False]
    hef = Hef(size=64, sigma_dim=SIGMA, variant="wo_hie", channels=256, channels_max=8, style_dim=8)
    assert [b.flow is not None for b in hef.blocks] == [True, False, False, False]
    bigger = Drive(*(F.interpolate(x, scale_factor=2) if x.ndim == 4 else x for x in wish()))
    torch.nn.init.normal_(hef.blocks[0].flow.last.weight)
    flows = hef(F.interpolate(picture(), scale_factor=2), bigger).flows
    torch.testing.assert_close(flows[-1], up(up(up(flows[0]))))


def test_style_conv_equals_weights_modulated_per_sample():
    torch.manual_seed(0)
    layer, x, z = StyleConv(6, 5, 7), torch.randn(3, 6, 4, 4), torch.randn(3, 7)
    weight = layer.weight[None] * layer.modulate(z)[:, None, :, None, None]
    weight = weight / (weight.square().sum((2, 3, 4), keepdim=True) + 1e-8).sqrt()
    raised = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    grouped = F.conv2d(raised.reshape(1, 18, 8, 8), weight.reshape(15, 6, 3, 3), padding=1, groups=3)
    expected = F.leaky_relu(grouped.reshape(3, 5, 8, 8), 0.2) * 2**0.5
    torch.testing.assert_close(layer(x, z), expected, atol=1e-5, rtol=1e-4)


def test_what_the_source_does_not_show_starts_as_the_rendering():
    asked, source = wish(), picture()
    hidden = torch.zeros_like(asked.hidden)
    hidden[..., 8:16, 8:16] = 1
    made = small()(source, asked._replace(hidden=hidden)).image
    moved = warp(source, asked.motion)
    shown = hidden.expand_as(made) == 0
    torch.testing.assert_close(made[shown], moved[shown], atol=1e-5, rtol=0)
    assert (made - moved)[~shown].abs().mean() > 0.1


def test_a_frame_that_asks_for_nothing_is_the_photograph():
    """Whatever has been learned: flow and colour may change only what moves, is lit anew, or is not shown."""
    hef, asked, source = small(), wish(), picture()
    for block in hef.blocks:
        for head in (block.flow, block.rgb):
            torch.nn.init.normal_(head.last.weight)
    still = asked._replace(motion=torch.zeros_like(asked.motion), moved=asked.rendering)
    torch.testing.assert_close(hef(source, still).image, source.expand(2, -1, -1, -1), atol=1e-5, rtol=0)
    assert (hef(source, asked).image - warp(source, asked.motion)).abs().mean() > 0.1


def test_without_our_additions_the_image_is_the_networks_own():
    hef = small(detail=False, mesh_motion=False)
    assert hef.rd_encoder.first.weight.shape[1] == 3
    output = hef(picture(), wish())
    torch.testing.assert_close(output.image, torch.full_like(output.image, 0.5))  # heads start at 0, I_0 is grey
    assert output.flows[-1].abs().max() == 0


def test_save_and_load(tmp_path):
    hef = small().standardise(torch.randn(50, 257 + SIGMA))
    torch.nn.init.normal_(hef.blocks[1].rgb.last.weight)
    again = Hef.load(hef.save(tmp_path / "hef.safetensors"))
    source, asked = picture(), wish()
    torch.testing.assert_close(again(source, asked).image, hef(source, asked).image)
    assert again.config == hef.config


def test_wrong_input():
    with pytest.raises(EmolibError, match="variant 'none'; expected one of full, wo_res, wo_hie"):
        small("none")
    with pytest.raises(EmolibError, match="96; expected a power of two"):
        Hef(size=96, sigma_dim=4)
    with pytest.raises(ValueError, match=r"expected \(B, 3, 32, 32\)"):
        small().encode_source(torch.zeros(1, 3, 64, 64))
    with pytest.raises(EmolibError, match="unknown LPIPS network"):
        Perceptual("resnet")
    with pytest.raises(EmolibError, match="no identity with two emotions"):
        Pairs([], None, {}, SIZE)


def test_drive_of_the_source_itself_is_at_rest(model):
    face = Coefficients.zeros(1)
    asked = make_drive(model, face, face, torch.zeros(1, SIGMA), SIZE)
    assert asked.mask.sum() > 100
    assert asked.motion.abs().max() < 1e-3  # a hundredth of a pixel: rounding of grazing triangles
    torch.testing.assert_close(asked.moved, asked.rendering * asked.mask, atol=1e-2, rtol=0)
    assert asked.style.shape == (1, 257 + SIGMA)


def test_animate_does_not_depend_on_the_batch(model):
    hef, face = small().eval(), Coefficients.zeros(1)
    wanted = Coefficients.zeros(5).replace(pose=torch.linspace(-0.2, 0.2, 30).reshape(5, 6) * 0.5)
    runs = [
        torch.cat(list(animate(hef, model, picture(), face, wanted, torch.zeros(1, SIGMA), batch=b))) for b in (2, 5)
    ]
    assert runs[0].shape == (5, 3, SIZE, SIZE)
    assert runs[0].min() >= 0 and runs[0].max() <= 1
    torch.testing.assert_close(runs[0], runs[1], atol=1e-5, rtol=0)


class Still(NamedTuple):
    """A clip of five frames of nobody who moves."""

    clip_id: str
    emotion: str
    identity: str = "S000"
    n_frames: int = 5

    def coefficients(self) -> Coefficients:
        return Coefficients.zeros(5)

    def frames(self, at) -> np.ndarray:
        return np.full((len(at), SIZE, SIZE, 3), 128, np.uint8)


def test_a_drive_that_was_heard_shows_what_was_heard(model):
    clips = [Still("a", "happy"), Still("b", "sad")]
    opened = torch.zeros(1, 52)
    opened[:, model.arkit_names.index("jawOpen")] = 1
    codes = Codes()
    for clip in clips:
        codes.put(clip.clip_id, (opened @ model.arkit_to_beta).expand(5, -1), torch.zeros(5, SIGMA))
    fitted, heard = (Pairs(clips, model, codes, SIZE, heard=h).draw(np.random.default_rng(0), 2) for h in (False, True))
    assert fitted.drive.motion.abs().max() < 1e-3 < 0.02 < heard.drive.motion.abs().max()
    torch.testing.assert_close(fitted.focus, heard.focus)  # what is looked at is the truth's


def test_focus_map_by_hand():
    bumps = focus_map(torch.tensor([[[10.5, 20.5], [3.5, 4.5]]]), 25)
    assert bumps.shape == (1, 1, 25, 25)
    assert bumps[0, 0, 20, 10] == 1 and bumps[0, 0, 4, 3] == 1
    assert bumps[0, 0, 20, 11].item() == pytest.approx(np.exp(-0.5))  # 4 % of 25 is one pixel


def test_recolour_is_the_same_for_both_and_keeps_the_range():
    image = picture()
    a, b = recolour(np.random.default_rng(0), image, image)
    torch.testing.assert_close(a, b)
    assert a.min() >= 0 and a.max() <= 1 and (a - image).abs().mean() > 0.01


def test_r1_of_a_linear_critic_is_its_squared_weight():
    weight = torch.randn(3, 4, 4)
    penalty = r1_penalty(lambda x: (x * weight).sum((1, 2, 3)), torch.rand(5, 3, 4, 4))
    torch.testing.assert_close(penalty, weight.square().sum())


def test_perceptual_distance():
    judge, image = Perceptual("alex", seed=1), picture()
    assert judge(image, image).item() == 0
    assert judge(image, 1 - image).item() > 0
    torch.testing.assert_close(judge(image, 1 - image), Perceptual("alex", seed=1)(image, 1 - image))
    assert judge.name.startswith("LPIPS-alex")
    faces = FaceDistance()
    assert faces(image, image).item() == 0 and 0 < faces(image, 1 - image).item() < 4


def test_training_learns_and_scores(tmp_path):
    """A drive that the mesh gets wrong by a shift of two pixels: the flow heads must find it."""
    source = F.interpolate(
        torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)), (SIZE, SIZE), mode="bicubic"
    )
    source = source.clamp(0, 1)
    asked = wish()._replace(motion=torch.full((2, 2, SIZE, SIZE), 1 / SIZE))
    truth = warp(source, torch.full((2, 2, SIZE, SIZE), 4 / SIZE))
    batch = Batch(source, truth, asked, torch.ones(2, 1, SIZE, SIZE), "happy", "S000", (0, np.arange(2), 0, 0))
    files = dict.fromkeys(("corpus", "ame", "eac", "face_model"))
    chosen = HefParams(recolour=False, steps=25, precision="no", ema=0.0).training()
    training = HefTraining(variant="full", size=SIZE, seed=0, **files, **chosen)
    training.models = {"hef": small(), "discriminator": Discriminator(SIZE, 256, 16)}
    adam = {"lr": 2e-3, "betas": (0.0, 0.99)}
    training.optimizers = {k: torch.optim.Adam(m.parameters(), **adam) for k, m in training.models.items()}
    training.perceptual, training.faces, training.draw = Perceptual("alex"), FaceDistance(), lambda rng: batch
    before = hef_scores(training.models["hef"], [batch])
    history = Loop(training, checkpoints=tmp_path, device="cpu").run()
    after = hef_scores(training.models["hef"], [batch])
    before, after = (found.set_index("row") for found in (before, after))
    assert before.l1["hef"] == pytest.approx(before.l1["mesh"], abs=1e-5) == pytest.approx(after.l1["mesh"], abs=1e-5)
    assert after.l1["hef"] < 0.7 * before.l1["hef"]
    assert set(history[-1]) >= {"loss", "rec", "perceptual", "adversarial", "discriminator"}


def test_over_mesh_by_hand():
    """Two people, two clips each; what is the same everywhere has an interval of no width."""
    lines = [
        {"row": row, "batch": i, "identity": f"S{i // 2}"}
        | {c: 20.0 + i + better * (k + 1) for k, c in enumerate(OVER_MESH)}
        for i in range(4)
        for row, better in (("hef", 1.0), ("mesh", 0.0))
    ]
    found = over_mesh(pd.DataFrame(lines), seed=0, draws=50)
    for name, value in {
        "psnr_over_mesh_db": 1,
        "lpips_over_mesh": 2,
        "lmd_dynamic_over_mesh_pct": 3,
        "mouth_error_over_mesh_px": 4,
    }.items():
        assert [found[name], found[f"{name}_low"], found[f"{name}_high"]] == pytest.approx([value] * 3)
    lines[0]["psnr_db"] += 4
    found = over_mesh(pd.DataFrame(lines), seed=0, draws=500)
    assert (
        found["psnr_over_mesh_db"] == pytest.approx(2)
        and found["psnr_over_mesh_db_low"] < 2 < found["psnr_over_mesh_db_high"]
    )


def test_a_random_backbone_can_be_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    require_backbones("any", "alex", "vgg")
    with pytest.raises(EmolibError, match="no vgg16-.*put torchvision's weights there"):
        require_backbones("pretrained", "vgg")
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    (tmp_path / "hub" / "checkpoints" / "vgg16-397923af.pth").touch()
    require_backbones("pretrained", "vgg")


def test_flow_of_a_real_corpus_has_no_true_one_to_compare_with():
    class Real:
        def truth(self):
            raise EmolibError("clip a of corpus mead has no truth; only rendered clips do")

    batch = SimpleNamespace(taken=(0, np.array([0]), 1, 0))
    found = flow_errors(None, SimpleNamespace(clips=[Real(), Real()]), [batch, batch])
    assert list(found) == ["region", "identity", "mesh", "hef"] and found.empty
    assert found.groupby("region")[["mesh", "hef"]].mean().stack().empty  # as 05 takes them
