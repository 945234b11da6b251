"""Pictures as users have them: profiles, types of numbers, turned, huge, damaged; and who may talk."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
import skimage.data
from PIL import Image, ImageCms

from emolib.errors import EmolibError
from emolib.face.alignment import nme
from emolib.face.landmarks import detect, size_notes
from emolib.media import pictures
from emolib.media.pictures import load_image, to_rgb8

D50 = np.array([0.9642, 1.0, 0.8249])
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
PRIMARIES = {  # (x, y) of red, green, blue
    "sRGB": ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06)),
    "Display P3": ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    "Adobe RGB": ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06)),
}
D65 = np.array([0.3127 / 0.3290, 1.0, (1 - 0.3127 - 0.3290) / 0.3290])


def to_xyz(space: str) -> np.ndarray:
    """Linear RGB of ``space`` -> XYZ under D65, from the primaries alone."""
    columns = np.array([(x / y, 1.0, (1 - x - y) / y) for x, y in PRIMARIES[space]]).T
    return columns * np.linalg.solve(columns, D65)


def linear(values: np.ndarray, space: str) -> np.ndarray:
    if space == "Adobe RGB":
        return values ** (563 / 256)
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def encoded(values: np.ndarray, space: str) -> np.ndarray:
    values = values.clip(0, 1)
    if space == "Adobe RGB":
        return values ** (256 / 563)
    return np.where(values <= 0.0031308, values * 12.92, 1.055 * values ** (1 / 2.4) - 0.055)


def seen_as(image: np.ndarray, source: str, target: str) -> np.ndarray:
    """uint8 (H, W, 3) of one colour space in another, by hand."""
    xyz = linear(image / 255, source) @ to_xyz(source).T
    return np.round(255 * encoded(xyz @ np.linalg.inv(to_xyz(target)).T, target)).astype(np.uint8)


def profile(space: str) -> bytes:
    """A matrix profile (ICC.1:2001), as cameras and telephones embed them."""
    adapt = np.linalg.inv(BRADFORD) @ np.diag((BRADFORD @ D50) / (BRADFORD @ D65)) @ BRADFORD
    number = lambda *xs: b"".join(struct.pack(">i", round(x * 65536)) for x in xs)  # noqa: E731  s15Fixed16
    tags = {f"{c}XYZ": b"XYZ \0\0\0\0" + number(*column) for c, column in zip("rgb", (adapt @ to_xyz(space)).T)}
    if space == "Adobe RGB":
        curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, 563)  # u8Fixed8: 2.19921875
    else:
        curve = b"para\0\0\0\0" + struct.pack(">HH", 3, 0) + number(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    text = space.encode() + b"\0"
    tags |= {f"{c}TRC": curve for c in "rgb"} | {"wtpt": b"XYZ \0\0\0\0" + number(*D50)}
    tags |= {"cprt": b"text\0\0\0\0" + b"none\0"}
    tags |= {"desc": b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + b"\0" * 78}
    offset, table, body = 132 + 12 * len(tags), b"", b""
    for name, data in tags.items():
        table += name.encode() + struct.pack(">II", offset + len(body), len(data))
        body += data + b"\0" * (-len(data) % 4)
    head = b"\0\0\0\0lcms" + struct.pack(">I", 0x02400000) + b"mntrRGB XYZ " + b"\0" * 12 + b"acsp" + b"\0" * 28
    head += number(*D50) + b"\0" * 48
    whole = head + struct.pack(">I", len(tags)) + table + body
    return struct.pack(">I", len(whole)) + whole[4:]


def portrait() -> np.ndarray:
    return skimage.data.astronaut()


def said(call, *arguments) -> str:
    """What a refusal says: one sentence, on one line."""
    with pytest.raises(EmolibError) as refused:
        call(*arguments)
    assert "\n" not in str(refused.value) and "Traceback" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("space", ["Display P3", "Adobe RGB"])
@pytest.mark.parametrize("kind", ["png", "jpg", "webp", "tiff", "with alpha", "palette"])
def test_a_wide_colour_space_comes_out_as_srgb(space, kind, tmp_path):
    truth = portrait()[:256, 100:356]
    stored = Image.fromarray(seen_as(truth, "sRGB", space))
    notes: list[str] = []
    path = tmp_path / f"p.{kind if len(kind) <= 4 else 'png'}"
    if kind == "with alpha":
        stored.putalpha(255)
    elif kind == "palette":
        stored = stored.quantize(256)
    options = {"jpg": {"quality": 98, "subsampling": 0}, "webp": {"lossless": True}}
    stored.save(path, icc_profile=profile(space), **options.get(kind, {}))
    dropped = np.asarray(Image.open(path).convert("RGB"))
    if kind in ("jpg", "palette"):  # which are not quite what was stored
        truth = seen_as(dropped, space, "sRGB")
    assert np.abs(dropped.astype(int) - truth).mean() > 1.3  # what ignoring the profile costs
    assert np.abs(load_image(path, notes).astype(int) - truth).mean() < 0.3
    assert not notes


def test_srgb_pictures_stay_as_they_are(tmp_path):
    image = portrait()
    for name, icc in {
        "pillow": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
        "ours": profile("sRGB"),
        "none": None,
    }.items():
        Image.fromarray(image).save(tmp_path / f"{name}.png", icc_profile=icc)
        np.testing.assert_array_equal(load_image(tmp_path / f"{name}.png"), image)
    grey = Image.fromarray(image).convert("L")
    grey.save(tmp_path / "grey.png", icc_profile=profile("sRGB"))  # made grey, its profile kept
    notes: list[str] = []
    np.testing.assert_array_equal(load_image(tmp_path / "grey.png", notes), np.asarray(grey.convert("RGB")))
    assert not notes


def test_a_profile_that_is_no_use_is_ignored_and_named(tmp_path):
    image = portrait()[:64, :64]
    for name, icc in {"damaged": b"not a profile", "short": profile("Adobe RGB")[:200], "cut": b"\0" * 128}.items():
        Image.fromarray(image).save(tmp_path / f"{name}.png", icc_profile=icc)
        notes: list[str] = []
        np.testing.assert_array_equal(load_image(tmp_path / f"{name}.png", notes), image)
        assert len(notes) == 1 and "profile" in notes[0] and "ignored" in notes[0]
    cmyk = Image.fromarray(image).convert("CMYK")
    cmyk.save(tmp_path / "cmyk.jpg", icc_profile=profile("sRGB"), quality=100)
    notes = []
    assert np.abs(load_image(tmp_path / "cmyk.jpg", notes).astype(int) - image).mean() < 4
    assert "it is for RGB, the picture is CMYK" in notes[0]


def test_other_modes_and_alpha(tmp_path):
    image = Image.fromarray(portrait()[:64, :64])
    grey = image.convert("L")
    half = Image.new("L", image.size, 51)
    faint = np.round(255 - (255 - np.asarray(grey, float)) * 0.2)
    clear = grey.copy()
    clear.putalpha(half)
    clear.save(tmp_path / "LA.png")
    assert np.abs(load_image(tmp_path / "LA.png")[..., 0].astype(int) - faint).max() <= 1
    np.testing.assert_array_equal(load_image(tmp_path / "LA.png"), to_rgb8(np.dstack([np.asarray(grey), half])))
    one = grey.convert("1")
    np.testing.assert_array_equal(to_rgb8(one)[..., 0], np.where(np.asarray(one), 255, 0))
    lab = ImageCms.profileToProfile(
        image, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    lab.save(tmp_path / "lab.tiff")
    assert np.abs(load_image(tmp_path / "lab.tiff").astype(int) - np.asarray(image)).mean() < 4
    big = Image.fromarray(np.asarray(grey).astype(">u2") * 257)
    big.save(tmp_path / "big.tiff")
    np.testing.assert_array_equal(load_image(tmp_path / "big.tiff")[..., 1], np.asarray(grey))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_undone(orientation, tmp_path):
    upright = np.zeros((40, 60, 3), np.uint8)
    upright[:10], upright[:, :10] = [250, 0, 0], [0, 0, 250]
    undo = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]  # Image.Transpose that stores it so
    stored = Image.fromarray(upright)
    stored = stored if undo is None else stored.transpose(Image.Transpose(undo))
    exif = Image.Exif()
    exif[0x0112] = orientation
    for suffix in ("png", "tiff"):
        stored.save(tmp_path / f"p.{suffix}", exif=exif)
        np.testing.assert_array_equal(load_image(tmp_path / f"p.{suffix}"), upright)


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x / 255,
        lambda x: (x / 255).astype(np.float32),
        lambda x: x.astype(np.float64),
        lambda x: x.astype(np.float16),
        lambda x: x.astype(np.int64),
        lambda x: x.astype(np.int32),
        lambda x: x.astype(np.int16),
        lambda x: x.astype(np.uint32),
        lambda x: x.astype(np.uint16) * 257,
        lambda x: x.astype(">u2") * 257,
        lambda x: x / 255 * 1.0001 - 0.00001,
        lambda x: Image.fromarray(x),
        lambda x: np.dstack([x, np.full(x.shape[:2], 255, np.uint8)]),
        lambda x: np.asfortranarray(x),
        lambda x: x[::-1][::-1],
    ],
)
def test_an_array_of_any_type_is_the_same_picture(change):
    image = portrait()[:64, :64]
    np.testing.assert_array_equal(load_image(change(image)), image)


def test_arrays_that_could_mean_two_things_are_refused():
    image = portrait()[:64, :64].astype(float)
    image[0, 0], image[0, 1] = 0, 255
    for wrong, words in {
        "minus one to one": (image / 127.5 - 1, "from -1 to 1; expected 0 to 255, or floats from 0 to 1"),
        "beyond": (image * 2, "to 510; expected"),
        "not a number": (np.where(image > 250, np.nan, image), "nan"),
        "one and a half": (image / 170, "to 1.5; expected"),
        "12 bits": (image.astype(np.int32) * 16, "int32 from 0 to 4080"),
        "negative": ((image - 256).astype(np.int16), "int16 from -256 to -1"),
        "8 bits in 16": (image.astype(np.uint16), "which is black; if it means 0 to 255, give uint8"),
        "channels first": (np.moveaxis(image, -1, 0), r"shape (3, 64, 64); expected (H, W)"),
        "words": (np.full((64, 64, 3), "red"), "array of <U3"),
        "complex": (image + 1j, "array of complex128"),
        "empty": (np.zeros((0, 0, 3), np.uint8), "0 x 0 px"),
        "bytes": (b"GIF89a", "is a bytes; give a file, an array or a Pillow image"),
    }.values():
        assert words in said(load_image, wrong)


def test_first_frame_of_an_animation(tmp_path):
    frames = [Image.fromarray(portrait()[:64, :64]), Image.new("RGB", (64, 64), "red")]
    for suffix in ("gif", "webp", "png"):
        frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:], duration=100, lossless=True)
        notes: list[str] = []
        assert np.abs(load_image(tmp_path / f"a.{suffix}", notes).astype(int) - np.asarray(frames[0])).mean() < 6
        assert notes == ["the file holds several pictures; its first is taken"]


def bomb(width: int, height: int) -> bytes:
    """A PNG that says it is that large, of a few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    "width, height, words",
    [
        (13_000, 13_000, "at most 89 million pixels"),
        (100_000, 100_000, "more than 170 million pixels"),
        (32, 150_000, "no face fits a strip so narrow"),
        (31, 40, "expected at least 32 px"),
    ],
)
def test_what_is_too_large_or_too_narrow_is_refused_before_it_is_decoded(width, height, words, tmp_path):
    (tmp_path / "p.png").write_bytes(bomb(width, height))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert words in said(load_image, tmp_path / "p.png")


def test_a_huge_jpeg_is_reduced_while_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "WHOLE", 100_000)
    large = Image.fromarray(portrait()).resize((1200, 900))
    for suffix, size in {"jpg": (300, 225), "png": (300, 225)}.items():
        large.save(tmp_path / f"p.{suffix}", icc_profile=profile("Adobe RGB"))
        notes: list[str] = []
        image = load_image(tmp_path / f"p.{suffix}", notes)
        assert image.shape == (*size[::-1], 3)
        assert notes == [f"the picture was reduced from 1200 x 900 to {size[0]} x {size[1]} px"]
        expected = seen_as(np.asarray(large.resize(size, Image.Resampling.BOX)), "Adobe RGB", "sRGB")
        assert np.abs(image.astype(int) - expected).mean() < 3


def test_kinds_of_files(tmp_path):
    (tmp_path / "p.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0" + b"\0" * 64)
    assert "HEIC" in said(load_image, tmp_path / "p.heic")
    (tmp_path / "p.eps").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n%%EndComments\n")
    assert "not an image" in said(load_image, tmp_path / "p.eps")  # Pillow would have Ghostscript run it


def test_damaged_files_are_refused_in_one_sentence_or_read(tmp_path):
    rng, outcomes = np.random.default_rng(0), set()
    image = Image.fromarray(portrait()[::8, ::8])
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 3, "maker"
    for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000"):
        saved = io.BytesIO()
        image.save(saved, kind, exif=exif, icc_profile=profile("Display P3"))
        whole = np.frombuffer(saved.getvalue(), np.uint8)
        for _ in range(25):
            data = whole.copy()
            for _ in range(rng.integers(1, 5)):
                head = rng.random() < 0.7
                data[rng.integers(0, min(len(data), 300 if head else len(data)))] = rng.integers(0, 256)
            (tmp_path / "p").write_bytes(
                data[: len(data) if rng.random() < 0.7 else rng.integers(1, len(data))].tobytes()
            )
            try:
                read = load_image(tmp_path / "p")
                assert read.dtype == np.uint8 and read.ndim == 3 and read.shape[2] == 3
                outcomes.add("read")
            except EmolibError as error:
                assert "\n" not in str(error)
                outcomes.add("refused")
    assert outcomes == {"read", "refused"}


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_face_on_its_side_or_upside_down_is_found_as_it_lies(quarters):
    picture = portrait()
    turned = np.ascontiguousarray(np.rot90(picture, quarters))
    points = detect(turned)[0].landmarks
    for _ in range(quarters):  # back: what np.rot90 turned counterclockwise
        points, turned = np.stack([turned.shape[0] - points[:, 1], points[:, 0]], 1), np.rot90(turned, -1)
    assert nme(points, detect(picture)[0].landmarks) < 2


@pytest.mark.parametrize("name", ["chelsea", "coffee", "rocket", "coins"])
def test_cats_cups_and_coins_do_not_talk(name):
    assert "shows a human face" in said(detect, getattr(skimage.data, name)())


def test_a_lamp_that_the_detector_takes_for_a_face_does_not_talk():
    assert "shows a human face" in said(detect, skimage.data.stereo_motorcycle()[1])


def test_a_small_face_has_its_size_said():
    small = np.asarray(Image.fromarray(portrait()[20:220, 120:320]).resize((48, 48), Image.Resampling.LANCZOS))
    (face,) = detect(small)
    width = round(face.box[2] - face.box[0])
    assert 16 <= width <= 26
    assert size_notes(face) == [
        f"the face is only {width} px wide, so the result will be soft; 64 px and more look better"
    ]
    assert not size_notes(detect(portrait())[0])
