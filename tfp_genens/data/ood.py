"""The registry of out-of-distribution sets: a new one is one row of OOD_SETS, and its texts in
ood_sets.toml.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np

from tfp_genens.artifact.spec import InputSpec
from tfp_genens.data import adversarial, attack_specs, noise, transforms
from tfp_genens.data.adversarial import Attack, Differentiable
from tfp_genens.data.corruptions import CORRUPTIONS, ROW_CORRUPTIONS, Corrupt
from tfp_genens.data.datasets import DATASETS
from tfp_genens.data.sources import Source, block_source, mapped, read_all, take
from tfp_genens.data.specs import open_source, scheme_of, spec_forms
from tfp_genens.errors import UserError
from tfp_genens.files import packaged
from tfp_genens.seeds import numpy_generator

ARGUMENT = "--ood"

# Chosen for the stroke width of MNIST's training images, by no score: enlarged to 105x105 it is 8.8
# pixels. Omniglot's is 4.9, and with discs of 3, 5 and 7 pixels 7.0, 9.0 and 11.0. (The mean pixel
# is 0.131 in MNIST; 0.081 in Omniglot, and 0.118, 0.147 and 0.176 with those discs: its characters
# have more strokes. Of pixels with any ink, after shrinking, it is 0.69, 0.56 and, with 5, 0.70.)
THICK_DILATION = 5

# What the authors' code does to a VAE, see `Attack`.
AS_RELEASED = Attack(
    noise_clipped=False, result_clipped=False, gradient_at=adversarial.AT_TEST_INPUTS
)


@dataclasses.dataclass(frozen=True)
class OodContext:
    """What a set may be built from.

    Attributes:
      test: in-distribution test inputs, already limited to `num_examples`.
      input_spec: what the model takes.
      num_examples: how many examples a set is to have (fewer where there are no more).
      seed: of all noise.
      ensemble: frozen members; only the adversarial sets use them.
      data_dir: where tensorflow_datasets keeps its sets; None for its default.
      train_dataset: what the model was trained on: its name in DATASETS, or a SPEC.
    """

    test: Source
    input_spec: InputSpec
    num_examples: int
    seed: int
    ensemble: Differentiable | None = None
    data_dir: str | None = None
    train_dataset: str = ""

    def open(self, spec: str, input_spec: InputSpec | None) -> Source:
        return open_source(spec, input_spec, argument=ARGUMENT, data_dir=self.data_dir)

    @property
    def value_range(self) -> noise.Range:
        return cast(noise.Range, self.input_spec.value_range)


@dataclasses.dataclass(frozen=True)
class OodSet:
    """One out-of-distribution set.

    Attributes:
      label: what tables and figures call it.
      description: one plain sentence for the report.
      attacked_members: the members whose own scores the set was made to fool; None where it is
        aimed at no single member.
      needs: what inputs of the model must be, of NEEDS; "" for anything.
      attack: what an adversarial set is made with, besides the seed, the members and the
        in-distribution test inputs; empty for all others. It stands for the inputs where making
        them only to compare them would cost as much as scoring them, so it must hold everything
        else that `build` was given.
      attacked_score: the member score that an attack is on; None: whichever has a gradient.
      is_read: whether it is read from somewhere as it is; then another SPEC may stand in for it.
      is_stand_in: whether one does.
    """

    name: str
    label: str
    build: Callable[[OodContext], Source]
    description: str
    needs: str = ""
    attacked_members: tuple[int, ...] | None = None
    attack: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    attacked_score: str | None = None
    is_read: bool = False
    is_stand_in: bool = False

    def suits(self, ensemble: Differentiable) -> bool:
        """Whether the members offer the gradient that an attack needs; other sets suit all."""
        offered = ensemble.attacked_score
        return not self.attack or (offered is not None and self.attacked_score in (None, offered))


RANGE = "inputs with a value range"
IMAGES, BOUNDED_IMAGES, ROWS = "images", "images with a value range", "rows of a table"
NEEDS: dict[str, Callable[[InputSpec], bool]] = {
    IMAGES: lambda spec: len(spec.shape) == 3,
    BOUNDED_IMAGES: lambda spec: len(spec.shape) == 3 and spec.value_range is not None,
    ROWS: lambda spec: len(spec.shape) == 1,
    "grey images": lambda spec: len(spec.shape) == 3 and spec.shape[2] == 1,
    "square colour images": lambda spec: spec.shape == (spec.shape[0], spec.shape[0], 3),
    "grey or colour images": lambda spec: noise.fits_photos(spec.shape),
    RANGE: lambda spec: spec.value_range is not None,
}


def _row(name: str, build: Callable[[OodContext], Source], **kwargs: Any) -> OodSet:
    texts = packaged("tfp_genens.data", "ood_sets.toml")[name]
    return OodSet(name, texts["label"], build, texts["description"], **kwargs)


def _read(spec: str) -> Callable[[OodContext], Source]:
    return lambda context: context.open(spec, context.input_spec)


def _fraud(context: OodContext) -> Source:
    """The frauds that the training set left out, see `Dataset.ood_specs`."""
    dataset = DATASETS.get(context.train_dataset)
    if dataset is None or not dataset.ood_specs:
        known = [row.name for row in DATASETS.values() if row.ood_specs]
        expected = f"a model trained on one of {', '.join(known)}, or fraud=SPEC"
        raise UserError(f"{ARGUMENT}=fraud", expected, context.train_dataset or "none")
    return context.open(dataset.ood_specs["fraud"], context.input_spec)


def _flip_set(name: str, axis: int) -> OodSet:
    def build(context: OodContext) -> Source:
        test = context.test
        return mapped(test, lambda images: np.flip(images, axis), test.shape, name)

    return _row(name, build, needs=IMAGES)


def _made_set(
    name: str,
    blocks: Callable[[tuple[int, ...], noise.Range, int], noise.Blocks],
    needs: str = RANGE,
) -> OodSet:
    def build(context: OodContext) -> Source:
        shape = context.input_spec.shape
        make_block = blocks(shape, context.value_range, context.seed)
        return block_source(name, shape, context.num_examples, make_block)

    return _row(name, build, needs=needs)


def _resized_set(
    name: str,
    spec: str,
    prepare: Callable[[np.ndarray], np.ndarray],
    needs: str = "grey images",
    method: str = transforms.AREA,
) -> OodSet:
    """Images read from `spec`, prepared, and resized to what the model takes."""

    def build(context: OodContext) -> Source:
        shape = context.input_spec.shape

        def convert(values: np.ndarray) -> np.ndarray:
            return transforms.resize(prepare(values), (shape[0], shape[1]), method)

        return mapped(context.open(spec, None), convert, shape, name)

    return _row(name, build, needs=needs, is_read=True)


def _corrupted_set(name: str, corrupt: Corrupt, needs: str) -> OodSet:
    """What docs/protocol.md chooses scores by."""

    def build(context: OodContext) -> Source:
        spec = context.input_spec
        low, high = context.value_range if needs == BOUNDED_IMAGES else (0.0, 1.0)
        originals = adversarial.blocks_of(context.test, context.num_examples)

        def make_block(block: int) -> np.ndarray:
            values = (originals(block).astype(np.float64) - low) / (high - low)
            found = low + (high - low) * corrupt(values, numpy_generator(context.seed, name, block))
            return (np.rint(found) if spec.dtype == "uint8" else found).astype(spec.dtype)

        return block_source(name, context.test.shape, context.num_examples, make_block)

    return _row(f"corrupted_{name}", build, needs=needs)


def _thick_on_black(values: np.ndarray) -> np.ndarray:
    return transforms.thicken(transforms.white_on_black(values), THICK_DILATION)


def _attack_set(name: str, attack: Attack) -> OodSet:
    def build(context: OodContext) -> Source:
        shape, value_range = context.input_spec.shape, context.value_range
        start = noise.gaussian_blocks(shape, value_range, context.seed, attack.noise_clipped)
        test_inputs = adversarial.blocks_of(context.test, context.num_examples)
        attacked = attack.blocks(start, value_range, _attackable(row, context), test_inputs)
        return block_source(name, shape, context.num_examples, _once(attacked, name))

    is_on_waic = attack.gradient is adversarial.waic_gradient
    row = _row(
        name,
        build,
        needs=RANGE,
        attacked_members=None if is_on_waic else (0,),
        attack={**vars(attack), "gradient": attack.gradient.__name__},
        attacked_score="log_prob" if is_on_waic else None,
    )
    return row


def _attackable(row: OodSet, context: OodContext) -> Differentiable:
    """The ensemble that a set attacks; raises UserError where it does not offer the gradient."""
    ensemble = context.ensemble
    if ensemble is None:
        raise ValueError(f"`context.ensemble` must be given for {row.name}; got None.")
    if not row.suits(ensemble):
        expected = f"a model that offers the gradient of {row.attacked_score or 'a score'}"
        got = f"one that offers that of {ensemble.attacked_score or 'none'}"
        raise UserError(f"{ARGUMENT}={row.name}", expected, got)
    return ensemble


def _asked_attack(text: str) -> OodSet:
    """The set of an `attack_specs` text."""
    spec = attack_specs.parse(text, ARGUMENT)
    attack = spec.attack
    scores = " and ".join(spec.scores)
    is_noise = spec.start == attack_specs.NOISE
    if not is_noise and spec.start not in OOD_SETS:
        expected = f"{attack_specs.NOISE} or one of {', '.join(OOD_SETS)} to start from"
        raise UserError(f"{ARGUMENT}={text}", expected, repr(spec.start))

    def build(context: OodContext) -> Source:
        shape, value_range = context.input_spec.shape, context.value_range
        if is_noise:
            num_examples = context.num_examples
            start = noise.gaussian_blocks(shape, value_range, context.seed)
        else:
            values = read_all(open_ood(spec.start, context)[1])[1]
            num_examples = len(values)
            start = adversarial.blocks_of_values(values)
        if context.ensemble is None:
            raise ValueError(f"`context.ensemble` must be given for {text}; got None.")
        test_inputs = adversarial.blocks_of(context.test, context.num_examples)
        blocks = attack.blocks(start, value_range, context.ensemble, test_inputs)
        return block_source(text, shape, num_examples, _once(blocks, text))

    texts = packaged("tfp_genens.data", "ood_sets.toml")["attack"]
    start_label = texts["noise"] if is_noise else OOD_SETS[spec.start].label
    words = {"scores": scores, "start": start_label, "eps": f"{spec.eps:g}", "steps": spec.steps}
    return OodSet(
        text,
        texts["label"].format(**words),
        build,
        texts["description"].format(**words),
        needs=RANGE,
        attack={**vars(attack), "gradient": scores, "start": spec.start, "scores": spec.scores},
    )


def _once(blocks: Callable[[int], np.ndarray], name: str) -> Callable[[int], np.ndarray]:
    """Blocks of an attack: a second reading does not pay again, and what it lacks is said."""

    @functools.cache
    def make_block(block: int) -> np.ndarray:
        try:
            return blocks(block)
        except FloatingPointError as e:
            expected = "members whose gradients are finite and not zero everywhere"
            raise UserError(f"{ARGUMENT}={name}", expected, str(e)) from e

    return make_block


OMNIGLOT = "tfds:omniglot:test"
OOD_SETS: dict[str, OodSet] = {
    row.name: row
    for row in (
        _flip_set("hflip", axis=2),
        _flip_set("vflip", axis=1),
        _made_set("uniform", noise.uniform_blocks),
        _made_set("gaussian", noise.gaussian_blocks),
        _made_set("gaussian_unclipped", functools.partial(noise.gaussian_blocks, clipped=False)),
        _made_set(
            "photo_patches",
            lambda shape, _, seed: noise.photo_patch_blocks(shape, seed),
            needs="grey or colour images",
        ),
        _row("mnist", _read("tfds:mnist:test"), is_read=True),
        _row("fashion_mnist", _read("tfds:fashion_mnist:test"), is_read=True),
        _row("not_mnist", _read("tfds:not_mnist:test"), is_read=True),
        _row("svhn", _read("tfds:svhn_cropped:test"), is_read=True),
        _row("imagenet32", _read("tfds:downsampled_imagenet/32x32:validation"), is_read=True),
        _row("fraud", _fraud, is_read=True),
        _resized_set(
            "celeba", "tfds:celeb_a:test", transforms.centre_square, needs="square colour images"
        ),
        _resized_set("omniglot", OMNIGLOT, transforms.white_on_black),
        _resized_set(
            "omniglot_nearest", OMNIGLOT, transforms.white_on_black, method=transforms.NEAREST
        ),
        _resized_set(
            "omniglot_bilinear", OMNIGLOT, transforms.white_on_black, method=transforms.BILINEAR
        ),
        _resized_set("omniglot_thick", OMNIGLOT, _thick_on_black),
        _attack_set("adversarial_unclipped", Attack(noise_clipped=False, result_clipped=False)),
        _attack_set("adversarial_clipped", Attack()),
        _attack_set(
            "adversarial_pgd_clipped", Attack(steps=10, step_size=adversarial.PAPER_EPS / 4)
        ),
        _attack_set("adversarial_waic_clipped", Attack(gradient=adversarial.waic_gradient)),
        _attack_set("adversarial_unclipped_step", Attack(result_clipped=False)),
        _attack_set(
            "adversarial_image_gradient_clipped", Attack(gradient_at=adversarial.AT_TEST_INPUTS)
        ),
        _attack_set("adversarial_as_released", AS_RELEASED),
        _attack_set(  # what the authors' code does to a WGAN
            "adversarial_lowered_as_released",
            dataclasses.replace(AS_RELEASED, gradient=adversarial.member_descent),
        ),
        *(_corrupted_set(*named, BOUNDED_IMAGES) for named in CORRUPTIONS.items()),
        *(_corrupted_set(*named, ROWS) for named in ROW_CORRUPTIONS.items()),
    )
}


def made_or_registered(name: str) -> OodSet | None:
    """The row of a registered set or of an attack; None where it is neither."""
    return _asked_attack(name) if name.startswith(attack_specs.PREFIX) else OOD_SETS.get(name)


def parse_ood(text: str) -> tuple[str, str | None]:
    """The name and the SPEC that `--ood` holds: a registered name, any SPEC, NAME=SPEC, an attack.

    A SPEC is its own name, and so is an attack, see `attack_specs`. NAME=SPEC reads the inputs of a
    registered set from SPEC, as they are: for sets that a user has in another form than the one
    registered. Raises UserError: none of these; NAME is a set that is made and not read.
    """
    if made_or_registered(text) is not None:
        return text, None
    if scheme_of(text) is not None:
        return text, text
    name, equals, spec = text.partition("=")
    if equals and name in OOD_SETS and scheme_of(spec) is not None:
        if not OOD_SETS[name].is_read:
            read = ", ".join(row.name for row in OOD_SETS.values() if row.is_read)
            raise UserError(ARGUMENT, f"NAME=SPEC with a set that is read: {read}", repr(text))
        return name, spec
    forms = f"a SPEC: {spec_forms()}, or NAME=SPEC of these, or {attack_specs.FORM}"
    expected = f"one of {', '.join(OOD_SETS)}, or {forms}"
    raise UserError(ARGUMENT, expected, repr(text))


def start_of_attack(row: OodSet, context: OodContext) -> Source | None:
    """The inputs that an attack moves, where these are those of another set."""
    start = row.attack.get("start")
    return open_ood(start, context)[1] if start in OOD_SETS else None


def open_ood(text: str, context: OodContext) -> tuple[OodSet, Source]:
    """Opens a registered set, any SPEC, NAME=SPEC or an attack, limited to `context.num_examples`.

    Returns the row of OOD_SETS (for a SPEC, one named after it; for NAME=SPEC, NAME's with what it
    was read from in place of how it is made) and its examples. Raises UserError: see `parse_ood`; a
    set that does not suit the model or cannot be had on this machine.
    """
    name, spec = parse_ood(text)
    known = made_or_registered(name)
    if spec is None and known is not None:
        row = known
    else:
        label = known.label if known else name
        text = f"Inputs read from {spec}."
        build = _read(spec or name)
        row = OodSet(name, label, build, text, is_read=True, is_stand_in=known is not None)
    model = context.input_spec
    if row.needs and not NEEDS[row.needs](model):
        got = f"inputs of shape {model.shape} and range {model.value_range}"
        raise UserError(f"{ARGUMENT}={name}", f"a model of {row.needs}", got)
    return row, take(row.build(context), context.num_examples)
