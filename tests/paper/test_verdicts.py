"""The rule, cell by cell."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfp_genens.paper import documents
from tfp_genens.paper.verdicts import (
    NOT_REPRODUCED,
    REPRODUCED,
    VERDICTS,
    WITHIN_INTERVAL,
    verdict,
)


@pytest.mark.parametrize(
    ("ours", "theirs", "interval", "expected"),
    [
        (97.0, 100.0, None, REPRODUCED),
        (96.99, 100.0, None, NOT_REPRODUCED),
        (96.99, 100.0, (90.0, 100.0), WITHIN_INTERVAL),
        (96.99, 100.0, (90.0, 99.9), NOT_REPRODUCED),
        (99.0, 80.0, None, REPRODUCED),  # better
        (50.0, 50.0, None, REPRODUCED),
        (60.0, 50.0, None, REPRODUCED),  # 50 is no claim of failure
        # The paper shows a failure: better contradicts it.
        (88.0, 0.0, None, NOT_REPRODUCED),
        (3.0, 0.0, None, REPRODUCED),
        (3.01, 0.0, None, NOT_REPRODUCED),
        (45.4, 42.3, None, NOT_REPRODUCED),
        (45.2, 42.3, None, REPRODUCED),
        (39.4, 42.3, None, REPRODUCED),
        (60.0, 42.3, (42.3, 78.0), WITHIN_INTERVAL),
    ],
)
def test_verdicts(ours, theirs, interval, expected):
    assert verdict(ours, theirs, interval) == expected


PERCENT = st.floats(0, 100)


@given(PERCENT, PERCENT)
def test_an_interval_only_ever_saves_what_was_not_reproduced(ours, theirs):
    without = verdict(ours, theirs, None)
    widest = verdict(ours, theirs, (0.0, 100.0))
    assert widest == (REPRODUCED if without == REPRODUCED else WITHIN_INTERVAL)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -1.0, 101.0])
def test_what_is_no_percentage_gets_no_verdict(bad):
    with pytest.raises(ValueError, match="`ours`"):
        verdict(bad, 50.0, None)
    with pytest.raises(ValueError, match="`theirs`"):
        verdict(50.0, bad, None)


def test_the_rule_names_each_verdict():
    template = documents.environment().get_template("judged.md.j2")
    rule = documents.unwrapped(template.module.rule()).split("\n\n")
    assert [line.split(":")[0] for line in rule] == [
        f'{k}. "{verdict}"' for k, verdict in enumerate(VERDICTS, 1)
    ]
