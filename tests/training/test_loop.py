"""The loop with a learner of one variable: phases, stopping, resuming, divergence."""

import csv

import numpy as np
import pytest
import tensorflow as tf

from tfp_genens.models.learner import Examples, Learner, Phase
from tfp_genens.training.loop import NonFiniteLossError, TrainingLoop
from tfp_genens.training.signals import Stopped, StopRequest


class Counter(Learner):
    """Adds what it sees to a variable; the second phase multiplies."""

    def __init__(self, first=60, second=45, nan_at=None, **of_the_first_phase):
        super().__init__()
        self._of_the_first_phase = of_the_first_phase
        self.total = tf.Variable(0.0, dtype=tf.float64)
        self.factor = tf.Variable(1.0, dtype=tf.float64)
        self._steps = (first, second)
        self._nan_at = nan_at

    def phases(self):
        return [
            Phase("add", self._steps[0], ("loss",), self._add, **self._of_the_first_phase),
            Phase("multiply", self._steps[1], ("loss", "factor"), self._multiply),
        ]

    def _add(self, step, seed, batches):
        noise = tf.random.stateless_normal([], seed, dtype=tf.float64)
        self.total.assign_add(noise + tf.reduce_sum(batches(step).inputs))
        loss = tf.cast(step, tf.float64)
        if self._nan_at is not None:
            loss = tf.where(step == self._nan_at, tf.constant(np.nan, tf.float64), loss)
        return {"loss": loss}

    def _multiply(self, step, seed, batches):
        self.factor.assign(self.factor * (1.0 + 1e-3 * tf.cast(step, tf.float64)))
        return {"loss": tf.cast(step, tf.float64), "factor": self.factor}

    def state_variables(self):
        return [self.total, self.factor]

    def validate(self, examples, seed):
        return {"mean": tf.reduce_mean(examples.inputs)}

    def freeze(self):
        raise AssertionError("the loop does not freeze")


def batches(number):
    return Examples(tf.cast(tf.fill([3], number), tf.float64))


def make_loop(learner, directory):
    return TrainingLoop(
        learner,
        batches,
        Examples(np.ones([4, 2])),
        np.array([1, 2], np.int32),
        directory,
        checkpoint_secs=0.0,
        label="test",
    )


def read_metrics(directory):
    with open(directory / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def finished(tmp_path):
    learner = Counter()
    loop = make_loop(learner, tmp_path / "whole")
    assert loop.run(StopRequest(), lambda _: None) > 0
    return learner, loop, tmp_path / "whole"


def test_phases_run_in_order_with_their_own_steps(finished):
    learner, loop, directory = finished
    assert loop.num_steps == 105
    expected = np.prod(1.0 + 1e-3 * np.arange(45))
    assert float(learner.factor) == pytest.approx(expected, rel=1e-12)
    rows = read_metrics(directory)
    assert [(int(r["step"]), r["phase"]) for r in rows] == [
        (50, "add"),
        (60, "add"),
        (100, "multiply"),
        (105, "multiply"),
    ]
    assert float(rows[0]["loss"]) == pytest.approx(np.arange(50).mean())
    assert float(rows[2]["loss"]) == pytest.approx(np.arange(40).mean())
    assert [r["validation_mean"] for r in rows] == ["", "1.0", "", "1.0"], "a phase's last step"


def test_phases_are_validated_only_where_they_are_recorded(tmp_path):
    with pytest.raises(ValueError, match="multiple of 50; got 75 in phase add"):
        make_loop(Counter(validate_every=75), tmp_path)


def test_a_phase_says_how_often_it_is_validated(tmp_path):
    make_loop(Counter(first=160, validate_every=100), tmp_path).run(StopRequest(), lambda _: None)
    validated = [int(r["step"]) for r in read_metrics(tmp_path) if r["validation_mean"]]
    assert validated == [100, 160, 205]


@pytest.mark.parametrize("looks", [0, 1, 2, 3])
def test_stopping_and_continuing_changes_no_bit(finished, tmp_path, looks, stop_after):
    whole, _, _ = finished
    with pytest.raises(Stopped) as e:
        make_loop(Counter(), tmp_path / "parts").run(stop_after(looks), lambda _: None)
    assert 0 < e.value.step < 105
    learner = Counter()
    make_loop(learner, tmp_path / "parts").run(StopRequest(), lambda _: None)
    assert learner.total.numpy() == whole.total.numpy()
    assert learner.factor.numpy() == whole.factor.numpy()
    steps = [int(r["step"]) for r in read_metrics(tmp_path / "parts")]
    assert steps == sorted(set(steps))
    assert {50, 60, 100, 105} <= set(steps)


def test_a_finished_loop_does_nothing_more(finished):
    whole, _, directory = finished
    before = (directory / "metrics.csv").read_bytes()
    learner = Counter(nan_at=0)  # a step more and it would diverge
    make_loop(learner, directory).run(StopRequest(), lambda _: None)
    assert learner.total.numpy() == whole.total.numpy()
    assert (directory / "metrics.csv").read_bytes() == before


def test_divergence_stops_and_keeps_the_last_good_state(tmp_path):
    with pytest.raises(NonFiniteLossError, match="last good checkpoint"):
        make_loop(Counter(nan_at=40), tmp_path).run(StopRequest(), lambda _: None)
    latest = tf.train.latest_checkpoint(str(tmp_path / "checkpoints"))
    step = int(latest.rsplit("-", 1)[1])
    assert 0 < step <= 40
    learner = Counter()  # the cause mended, it continues from there
    make_loop(learner, tmp_path).run(StopRequest(), lambda _: None)
    assert np.isfinite(learner.total.numpy())


def test_weights_that_are_not_finite_are_never_saved(tmp_path):
    learner = Counter()
    learner.total.assign(np.inf)
    with pytest.raises(NonFiniteLossError, match="no longer finite"):
        make_loop(learner, tmp_path).run(StopRequest(), lambda _: None)
    assert tf.train.latest_checkpoint(str(tmp_path / "checkpoints")) is None


def test_pace_is_told_once(tmp_path):
    told = []
    make_loop(Counter(), tmp_path).run(StopRequest(), told.append)
    assert len(told) == 1
    assert told[0] >= 0


def test_pace_is_not_taken_from_steps_that_are_like_no_others(tmp_path):
    told = []
    loop = make_loop(Counter(pace_from=58), tmp_path)
    loop.run(StopRequest(), lambda secs: told.append(int(loop._state.step)))
    assert told
    assert told[0] > 58


def test_a_half_written_metrics_row_is_dropped(finished, tmp_path, stop_after):
    with pytest.raises(Stopped):
        make_loop(Counter(), tmp_path / "cut").run(stop_after(3), lambda _: None)
    with open(tmp_path / "cut" / "metrics.csv", "a") as file:
        file.write("1")
    make_loop(Counter(), tmp_path / "cut").run(StopRequest(), lambda _: None)
    steps = [int(r["step"]) for r in read_metrics(tmp_path / "cut")]
    assert steps == sorted(set(steps))
