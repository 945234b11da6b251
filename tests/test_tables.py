"""Tables: what is ours, what is the paper's, and when an ordering counts as confirmed."""

import numpy as np
import pandas as pd
import pytest

from emolib.metrics.digits import digits
from emolib.metrics.protocol import METRICS, Row, Spread
from emolib.metrics.tables import PAPER_CORPUS, claims, orderings, table1, table2, table3


def row(name, level, seed=0):
    """Six clips of two identities whose metrics all scatter a little around ``level``."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({m: level + 0.01 * rng.normal(size=6) for m in METRICS if m != "FID"})
    table.insert(0, "clip_id", [f"c{i}" for i in range(6)])
    table.insert(1, "identity", list("aaabbb"))
    features = [rng.normal(size=(4, 3)) for _ in range(6)]
    return Row(name, table, [f + level for f in features], features, {})


@pytest.fixture
def spread():
    return Spread(list("aaabbb"), seed=0)


def test_table1_keeps_papers_and_our_numbers_apart(spread):
    table = table1([row("Ours-T", 0.5), row("ECG", 0.4)], spread, "synth", {"FID": "FID (fake)"}).set_index("method")
    assert table.loc["Wav2Lip", "corpus"] == PAPER_CORPUS
    assert np.isnan(table.loc["Wav2Lip", "PSNR ↑"]) and table.loc["Wav2Lip", "PSNR paper"] == 29.22
    assert table.loc["Ours-T", "corpus"] == "synth" and table.loc["Ours-T", "n_clips"] == 6
    assert table.loc["Ours-T", "EFD ↓"] == pytest.approx(0.5, abs=0.02) and table.loc["Ours-T", "EFD paper"] == 0.065
    assert table.loc["ECG", "LMD paper"] == 2.18 and np.isnan(table.loc["ECG", "EFD paper"])
    assert table.loc["Ours-A", "corpus"] == PAPER_CORPUS  # not run: only the paper's numbers
    assert table.loc["Ours-T", "FID (fake) ↓"] == pytest.approx(0.75)  # 3 features moved by 0.5, equal covariances


def test_table3_leaves_an_untrained_variant_without_values(spread):
    table = table3({"full": row("full", 0.1)}, spread, "synth").set_index("variant")
    assert table.loc["mlp", "corpus"] == PAPER_CORPUS and np.isnan(table.loc["mlp", "EFD ↓"])
    assert (table.loc["full", "corpus"] == "synth").all() and len(table.loc["full"]) == 3
    assert table.loc["mlp", "LMD paper"] == 3.54
    assert "LMD static ↓" in table and "LMD static paper" not in table  # ours alone


def test_table2_shows_our_parts_beside_the_papers_whole():
    ours = {"method": "Ours-128", "machine": "2 cores", "size_px": 128, "ame_frozen_params_m": 25.0}
    ours |= {"ame_audio_params_m": 1.0, "eac_params_m": 2.0, "hef_params_m": 3.0, "params_m": 6.0}
    table = table2([ours | {"memory_gb": 0.5, "ms_per_frame": 40.0}], "synth").set_index("method")
    assert table.loc["Ours-256", "HEF M paper"] == 62.38
    assert table.loc["Ours-128", "params M"] == 6.0 and np.isnan(table.loc["Ours-128", "HEF M paper"])


def test_orderings_agree_disagree_or_stay_open(spread):
    rows = {"full": row("full", 0.1), "wo_emo": row("wo_emo", 0.3, 1), "gru": row("gru", 0.1, 2)}
    found = orderings(rows, spread, "synth").set_index(["worse", "metric"])
    assert found.loc[("wo_emo", "EFD"), "agrees"] == "yes"  # ours is lower, lower is better
    assert found.loc[("wo_emo", "Sync"), "agrees"] == "no"  # ours is lower, higher is better
    assert found.loc[("wo_emo", "EFD"), "difference"] == pytest.approx(-0.2, abs=0.02)
    same = orderings({"full": rows["full"], "gru": rows["full"]}, spread, "synth")
    assert (same.agrees == "undecided").all() and (same.p == 1).all()


def test_the_papers_claims_hold_in_the_papers_own_numbers():
    for _, _, _, metric, difference in claims():
        if np.isfinite(difference):
            assert (difference > 0) == (metric in ("Sync", "CSIM", "PSNR", "SSIM"))


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.2196, "0.22"), (1.5236, "1.5"), (0.99645, "0.996"), (1.0, "1"), (31.2822, "31.3"), (15840.4, "15840")]
    + [(0.00641, "0.0064"), (0.0, "0"), (-0.0325, "-0.033"), (1.2e-7, "1.2e-07")],
)
def test_digits(value, text):
    assert digits(value) == text
