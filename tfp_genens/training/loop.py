"""The training loop: steps, checkpoints, records. It knows learners, not models.

A run that is interrupted anywhere and continued ends with the same bits as one that was not: the
checkpoint holds weights, optimizer and step; batches and noise are functions of (seed, step).
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from tfp_genens.errors import UserError
from tfp_genens.models.learner import Batches, Examples, Learner, Phase
from tfp_genens.training.records import EventsWriter, MetricsFile
from tfp_genens.training.signals import Stopped, StopRequest

LOG_EVERY = 50
CALL_SECS = 1.0  # aimed at, a call of the compiled loop: how long a signal may have to wait
NUM_IMAGES = 16
CHECKPOINTS = "checkpoints"


class NonFiniteLossError(Exception):
    """The loss or a weight became NaN or infinite; the last good checkpoint is kept."""


class _State(tf.Module):
    """All that a checkpoint holds."""

    def __init__(self, learner: Learner):
        super().__init__(name="training_state")
        self.learner = learner
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.wall_secs = tf.Variable(0.0, dtype=tf.float64, trainable=False)


def restore_learner(learner: Learner, directory: Path) -> None:
    """Reads a member's last checkpoint into a learner.

    Raises:
      UserError: there is none.
    """
    checkpoints = directory / CHECKPOINTS
    latest = tf.train.latest_checkpoint(str(checkpoints))
    if latest is None:
        raise UserError("--run_dir", f"a checkpoint in {checkpoints}", "none")
    checkpoint = tf.train.Checkpoint(state=_State(learner))
    checkpoint.restore(latest).assert_nontrivial_match()


class TrainingLoop:
    """Trains one learner in one directory.

    Args:
      learner: what is trained.
      batches: training inputs by number.
      validation: held-out examples.
      seed: int32 [2], behind all noise of training.
      directory: checkpoints/, metrics.csv and tensorboard/ go here.
      checkpoint_secs: seconds between checkpoints.
      label: shown before the progress bar.
    """

    def __init__(
        self,
        learner: Learner,
        batches: Batches,
        validation: Examples,
        seed: np.ndarray,
        directory: Path,
        *,
        checkpoint_secs: float,
        label: str,
    ):
        self._learner = learner
        self._batches = batches
        self._validation = validation.map(tf.constant)
        # A concrete function: TensorFlow warns of retracing where several members are trained.
        self._validate = tf.function(
            lambda seed: dict(learner.validate(self._validation, seed))
        ).get_concrete_function(tf.TensorSpec([2], tf.int32))
        self._seed = tf.constant(seed, tf.int32)
        self._directory = directory
        self._checkpoint_secs = checkpoint_secs
        self._label = label
        self._phases = list(learner.phases())
        for phase in self._phases:
            if phase.validate_every % LOG_EVERY:
                raise ValueError(
                    f"`validate_every` must be a multiple of {LOG_EVERY}; got "
                    f"{phase.validate_every} in phase {phase.name}."
                )
        self.num_steps = sum(phase.num_steps for phase in self._phases)
        self._state = _State(learner)
        self._manager = tf.train.CheckpointManager(
            tf.train.Checkpoint(state=self._state), str(directory / CHECKPOINTS), max_to_keep=2
        )

    def run(self, stop: StopRequest, on_pace: Callable[[float], None]) -> float:
        """Trains to the end, from the last checkpoint if there is one; seconds, of all sittings.

        Args:
          stop: looked at between calls of the compiled loop.
          on_pace: called once, with the estimated seconds that remain of the first phase that
            takes a few calls.

        Raises:
          Stopped: a signal came; the state is saved.
          NonFiniteLossError: training diverged; nothing was saved since it was last finite.
        """
        self._restore()
        step = int(self._state.step.numpy())
        metrics = MetricsFile(self._directory / "metrics.csv", self._columns(), step)
        # A directory a sitting: TensorBoard has no other way to forget steps that were redone.
        events = EventsWriter(self._directory / "tensorboard" / f"from_step_{step}")
        bar = tqdm(
            total=self.num_steps,
            initial=step,
            desc=self._label,
            unit="step",
            disable=None,
            dynamic_ncols=True,
        )
        try:
            with bar:
                self._run(step, stop, on_pace, metrics, events, bar)
        finally:
            metrics.close()
            events.close()
        return float(self._state.wall_secs.numpy())

    def _run(self, step, stop, on_pace, metrics, events, bar) -> None:
        first = 0
        pace = _Pace(on_pace)
        saved_at = counted_at = time.monotonic()
        for phase in self._phases:
            end = first + phase.num_steps
            steps = self._compile(phase, first)
            sums = _Sums(phase.metrics)
            while step < end:
                stop_at = min(end, (step // LOG_EVERY + 1) * LOG_EVERY)
                count = min(stop_at - step, pace.call_size())
                began = time.monotonic()
                values = steps(tf.constant(step, tf.int64), tf.constant(count, tf.int64))
                values = {name: float(value) for name, value in values.items()}
                secs = time.monotonic() - began
                sums.add(values, count, secs)
                self._check(sums, step, count)
                step += count
                self._state.step.assign(step)
                now = time.monotonic()
                self._state.wall_secs.assign_add(now - counted_at)
                counted_at = now
                bar.update(count)
                if step - first > phase.pace_from:
                    pace.update(count, secs, end - step)
                if step == stop_at:
                    is_validated = step % phase.validate_every == 0 or step == end
                    self._record(phase, step, is_validated, sums, metrics, events, bar)
                    sums = _Sums(phase.metrics)
                due = time.monotonic() - saved_at >= self._checkpoint_secs
                if due or stop.signum is not None or step == self.num_steps:
                    self._save()
                    saved_at = time.monotonic()
                if stop.signum is not None and step < self.num_steps:
                    raise Stopped(stop.signum, step)
            first = end

    def _compile(self, phase: Phase, first: int) -> Callable[..., dict[str, tf.Tensor]]:
        """(step, count) -> sums of the phase's metrics over that many steps, in one graph call."""

        @tf.function
        def steps(step: tf.Tensor, count: tf.Tensor) -> dict[str, tf.Tensor]:
            sums = {name: tf.zeros([], tf.float64) for name in phase.metrics}
            for i in tf.range(step, step + count):
                seed = tf.random.experimental.stateless_fold_in(self._seed, i)
                values = phase.step(i - first, seed, self._batches)
                sums = {k: sums[k] + tf.cast(values[k], tf.float64) for k in phase.metrics}
            return sums

        return steps

    def _check(self, sums: _Sums, step: int, count: int) -> None:
        if not sums.is_finite():
            raise NonFiniteLossError(
                f"the loss became NaN or infinite between steps {step} and {step + count} "
                f"({sums.text()}); {self._last_good()}"
            )

    def _last_good(self) -> str:
        latest = self._manager.latest_checkpoint
        return f"the last good checkpoint is {latest}" if latest else "no checkpoint was saved yet"

    def _save(self) -> None:
        for variable in self._learner.state_variables():
            is_float = variable.dtype.is_floating
            if is_float and not bool(tf.reduce_all(tf.math.is_finite(variable))):
                raise NonFiniteLossError(
                    f"{variable.name} is no longer finite at step "
                    f"{int(self._state.step.numpy())}; {self._last_good()}"
                )
        self._manager.save(checkpoint_number=int(self._state.step.numpy()))

    def _restore(self) -> None:
        latest = self._manager.latest_checkpoint
        if latest:
            self._manager.checkpoint.restore(latest).assert_consumed()
            print(f"{self._label}: continuing from step {int(self._state.step)}", file=sys.stderr)

    def _columns(self) -> list[str]:
        names = dict.fromkeys(name for phase in self._phases for name in phase.metrics)
        validation = [f"validation_{name}" for name in self._validate(tf.constant([0, 0]))]
        return ["step", "phase", *names, *validation, "steps_per_sec", "wall_secs"]

    def _record(self, phase, step, is_validated, sums, metrics, events, bar) -> None:
        values = sums.means()
        row = dict(values)
        if is_validated:
            seed = tf.random.experimental.stateless_fold_in(self._seed, -step - 1)
            validation = self._validate(seed)
            shown = validation if phase.validation is None else phase.validation
            row |= {f"validation_{name}": float(validation[name]) for name in shown}
            images = self._learner.summary_images(self._validation.inputs[:NUM_IMAGES], seed)
            events.images(step, images)
        events.scalars(step, row)
        metrics.write(
            {
                "step": step,
                "phase": phase.name,
                **row,
                "steps_per_sec": round(sums.count / max(sums.secs, 1e-9), 3),
                "wall_secs": round(float(self._state.wall_secs.numpy()), 2),
            }
        )
        bar.set_postfix_str(f"loss {values['loss']:.4g}", refresh=False)


class _Sums:
    """Sums of metrics over the steps of one logging interval."""

    def __init__(self, names: tuple[str, ...]):
        self._sums = dict.fromkeys(names, 0.0)
        self.count = 0
        self.secs = 0.0

    def add(self, values: dict[str, float], count: int, secs: float) -> None:
        self._sums = {name: total + values[name] for name, total in self._sums.items()}
        self.count += count
        self.secs += secs

    def is_finite(self) -> bool:
        return all(map(math.isfinite, self._sums.values()))

    def means(self) -> dict[str, float]:
        return {name: total / self.count for name, total in self._sums.items()}

    def text(self) -> str:
        return ", ".join(f"{name} {value:.4g}" for name, value in self.means().items())


class _Pace:
    """How many steps fill a call of `CALL_SECS`, and how long the rest will take."""

    def __init__(self, on_pace: Callable[[float], None]):
        self._on_pace: Callable[[float], None] | None = on_pace
        self._secs_per_step: float | None = None
        self._num_calls = 0

    def call_size(self) -> int:
        if self._secs_per_step is None:
            return 1
        return max(1, int(CALL_SECS / self._secs_per_step))

    def update(self, count: int, secs: float, remaining: int) -> None:
        self._num_calls += 1
        if self._num_calls == 1:  # tracing
            return
        self._secs_per_step = max(secs / count, 1e-6)
        if self._num_calls >= 3 and self._on_pace is not None:
            self._on_pace(self._secs_per_step * remaining)
            self._on_pace = None
