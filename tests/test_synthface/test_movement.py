"""Actions as large as people's: by hand, and the two tables that compare drawn with real movement."""

import numpy as np
import pandas as pd
import pytest

from emolib.face.arkit import ARKIT, INDEX
from synthface.actions import CHANGES, natural
from synthface.movement import MOVES, RATIO, SURE_MOVE, compared, movement


def test_natural_actions_by_hand():
    drawn = np.zeros((52, 1, 3))
    drawn[INDEX["eyeBlinkLeft"]], drawn[INDEX["eyeSquintLeft"]] = [0, -1, 0], [0, 0.5, 0.25]
    drawn[INDEX["mouthSmileRight"]], drawn[INDEX["jawOpen"]] = [1, 1, 1], [0, -2, 0]
    made = natural(drawn)
    assert made[INDEX["eyeSquintLeft"], 0].tolist() == pytest.approx([0, 0.5 - 0.35, 0.25])
    assert made[INDEX["mouthSmileRight"], 0].tolist() == pytest.approx([1.1, 0.45, 1.0])
    assert made[INDEX["jawOpen"], 0].tolist() == [0, -2, 0] and made[INDEX["eyeBlinkLeft"], 0].tolist() == [0, -1, 0]


def test_every_change_names_actions():
    bases = {name.removesuffix("Left").removesuffix("Right") for name in ARKIT}
    assert set(CHANGES) <= bases and {other for _, others in CHANGES.values() for other in others} <= bases


def test_compared_by_hand():
    table = pd.DataFrame({"drawn": [1.0, -2.0, 5.0, 9.0], "real": [2.0, -2.5, -4.0, 0.1]})
    assert compared(table, 1.0) == {"ratio_min": -1.25, "ratio_max": 0.8, "signs_right": pytest.approx(2 / 3)}


def test_people_move_as_far_as_real_ones_and_further_at_each_level():
    table = movement(people=6, seed=3)
    ends = compared(table, SURE_MOVE)
    assert ends["signs_right"] == 1 and RATIO[0] - 0.1 < ends["ratio_min"] and ends["ratio_max"] < RATIO[1] + 0.2
    wide = table.pivot(index=["place", "emotion"], columns="level", values="drawn")
    for place, emotions in MOVES.items():
        for emotion in (e for e, moved in emotions.items() if abs(moved) >= SURE_MOVE):
            low, middle, high = wide.loc[(place, emotion)].abs()
            assert low < middle < high
