"""The registry of out-of-distribution sets: a new one is one row of OOD_SETS."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tfp_genens.artifact.spec import InputSpec
from tfp_genens.data import adversarial, drawings, noise, resizing, transforms
from tfp_genens.data.adversarial import Differentiable
from tfp_genens.data.datasets import DATASETS
from tfp_genens.data.sources import BlockSource, Source, take
from tfp_genens.data.specs import open_source, scheme_of, spec_forms
from tfp_genens.errors import UserError

ARGUMENT = "--ood"

# Chosen for the stroke width of MNIST's training images, by no score: enlarged to 105x105 it is 8.8
# pixels. Omniglot's is 4.9, and with discs of 3, 5 and 7 pixels 7.0, 9.0 and 11.0. (The mean pixel
# is 0.131 in MNIST; 0.081 in Omniglot, and 0.118, 0.147 and 0.176 with those discs: its characters
# have more strokes. Of pixels with any ink, after shrinking, it is 0.69, 0.56 and, with 5, 0.70.)
THICK_DILATION = 5


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


@dataclasses.dataclass(frozen=True)
class OodSet:
    """One out-of-distribution set.

    Attributes:
      label: what tables and figures call it.
      description: one plain sentence for the report.
      attacked_members: the members whose own scores the set was made to fool; None where it is
        aimed at no single member.
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
    attacked_members: tuple[int, ...] | None = None
    attack: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    attacked_score: str | None = None
    is_read: bool = False
    is_stand_in: bool = False

    def suits(self, ensemble: Differentiable) -> bool:
        """Whether the members offer the gradient that an attack needs; other sets suit all."""
        if not self.attack:
            return True
        return ensemble.attacked_score is not None and self.attacked_score in (
            None,
            ensemble.attacked_score,
        )


def _spec_set(name: str, label: str, spec: str, description: str) -> OodSet:
    def build(context: OodContext) -> Source:
        return open_source(spec, context.input_spec, argument=ARGUMENT, data_dir=context.data_dir)

    return OodSet(name, label, build, description, is_read=True)


def _left_out_set(name: str, label: str, description: str) -> OodSet:
    """A set whose examples are what the training set left out, see `Dataset.ood_specs`."""

    def build(context: OodContext) -> Source:
        dataset = DATASETS.get(context.train_dataset)
        if dataset is None or name not in dataset.ood_specs:
            known = [row.name for row in DATASETS.values() if name in row.ood_specs]
            expected = f"a model trained on one of {', '.join(known)}, or {name}=SPEC"
            raise UserError(f"{ARGUMENT}={name}", expected, context.train_dataset or "none")
        spec = dataset.ood_specs[name]
        return open_source(spec, context.input_spec, argument=ARGUMENT, data_dir=context.data_dir)

    return OodSet(name, label, build, description, is_read=True)


def _flip_set(name: str, label: str, flip: Callable[[Source], Source], description: str) -> OodSet:
    def build(context: OodContext) -> Source:
        if len(context.test.shape) != 3:
            raise _unsuitable(name, "images", context.input_spec)
        return flip(context.test)

    return OodSet(name, label, build, description)


def _value_range(name: str, input_spec: InputSpec) -> tuple[float, float]:
    if input_spec.value_range is None:
        raise _unsuitable(name, "inputs with a value range", input_spec)
    return input_spec.value_range


def _noise_set(
    name: str,
    label: str,
    blocks: Callable[[tuple[int, ...], tuple[float, float], int], noise.Blocks],
    description: str,
) -> OodSet:
    def build(context: OodContext) -> Source:
        shape, value_range = context.input_spec.shape, _value_range(name, context.input_spec)
        make_block = blocks(shape, value_range, context.seed)
        return BlockSource(name, shape, context.num_examples, make_block)

    return OodSet(name, label, build, description)


def _omniglot_set(
    name: str, label: str, method: str, description: str, *, dilation: int = 1
) -> OodSet:
    """Omniglot white on black, at the model's size.

    Args:
      method: see `resizing.resize`.
      dilation: diameter of the disc that strokes are widened by before, in pixels of 105.
    """

    def build(context: OodContext) -> Source:
        shape = context.input_spec.shape
        if len(shape) != 3 or shape[-1] != 1:
            raise _unsuitable(name, "grey images", context.input_spec)
        source = open_source(
            "tfds:omniglot:test", None, argument=ARGUMENT, data_dir=context.data_dir
        )

        def convert(values: np.ndarray) -> np.ndarray:
            strokes = drawings.thicken(drawings.white_on_black(values), dilation)
            return resizing.resize(strokes, (shape[0], shape[1]), method)

        return transforms.Mapped(source, convert, shape, name)

    return OodSet(name, label, build, description, is_read=True)


def _celeba(context: OodContext) -> Source:
    shape = context.input_spec.shape
    if len(shape) != 3 or shape[0] != shape[1] or shape[2] != 3:
        raise _unsuitable("celeba", "square colour images", context.input_spec)
    source = open_source("tfds:celeb_a:test", None, argument=ARGUMENT, data_dir=context.data_dir)

    def convert(values: np.ndarray) -> np.ndarray:
        square = resizing.centre_square(values)
        return resizing.resize(square, (shape[0], shape[1]), resizing.AREA)

    return transforms.Mapped(source, convert, shape, "celeba")


def _photo_patches(context: OodContext) -> Source:
    shape = context.input_spec.shape
    try:
        make_block = noise.photo_patch_blocks(shape, context.seed)
    except ValueError as e:
        raise _unsuitable("photo_patches", "grey or colour images", context.input_spec) from e
    return BlockSource("photo_patches", shape, context.num_examples, make_block)


def _attack_set(
    name: str,
    label: str,
    gradient: Callable[[Differentiable], adversarial.Gradient],
    description: str,
    *,
    noise_clipped: bool,
    result_clipped: bool,
    gradient_at: Callable[
        [adversarial.Gradient, Source, int], adversarial.GradientBlocks
    ] = adversarial.at_noise,
    steps: int = 1,
    eps: float = adversarial.PAPER_EPS,
    step_size: float = adversarial.PAPER_EPS,
    attacked_members: tuple[int, ...] | None = None,
    attacked_score: str | None = None,
) -> OodSet:
    """Gaussian noise after `steps` sign steps up a gradient.

    Where `noise_clipped`, it begins as the set "gaussian"; where `result_clipped`, it ends within
    the valid range. `eps` and `step_size` are fractions of the range.
    """

    def build(context: OodContext) -> Source:
        ensemble = _attackable(row, context)
        shape, value_range = context.input_spec.shape, _value_range(name, context.input_spec)
        width = value_range[1] - value_range[0]
        gradients = gradient_at(gradient(ensemble), context.test, context.num_examples)

        def attack(values: np.ndarray, slope: adversarial.Gradient) -> np.ndarray:
            clip_to = value_range if result_clipped else None
            size = step_size * width
            try:
                return adversarial.pgd(
                    values, slope, eps * width, steps=steps, step_size=size, clip_to=clip_to
                )
            except FloatingPointError as e:
                expected = "members whose gradients are finite and not zero everywhere"
                raise UserError(f"{ARGUMENT}={name}", expected, str(e)) from e

        noise_blocks = noise.gaussian_blocks(
            shape, value_range, context.seed, clipped=noise_clipped
        )
        make_block = adversarial.attacked_blocks(noise_blocks, gradients, attack)
        return BlockSource(name, shape, context.num_examples, make_block, keep=True)

    settings = {
        "gradient": gradient.__name__,
        "gradient_at": gradient_at.__name__,
        "noise_clipped": noise_clipped,
        "result_clipped": result_clipped,
        "steps": steps,
        "eps": eps,
        "step_size": step_size,
    }
    row = OodSet(name, label, build, description, attacked_members, settings, attacked_score)
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


def _unsuitable(name: str, expected: str, input_spec: InputSpec) -> UserError:
    got = f"inputs of shape {input_spec.shape} and range {input_spec.value_range}"
    return UserError(f"{ARGUMENT}={name}", f"a model of {expected}", got)


OOD_SETS: dict[str, OodSet] = {
    row.name: row
    for row in (
        _flip_set("hflip", "HFlip", transforms.hflip, "Test images mirrored left to right."),
        _flip_set("vflip", "VFlip", transforms.vflip, "Test images turned upside down."),
        _noise_set(
            "uniform",
            "Uniform noise in [0, 1]",
            noise.uniform_blocks,
            "Every pixel drawn independently and uniformly from [0, 1], scaled to the valid range.",
        ),
        _noise_set(
            "gaussian",
            "Gaussian noise, clipped to [0, 1]",
            noise.gaussian_blocks,
            "Every pixel drawn from N(0, 1), clipped to [0, 1] and scaled to the valid range.",
        ),
        _noise_set(
            "gaussian_unclipped",
            "Gaussian noise, not clipped",
            functools.partial(noise.gaussian_blocks, clipped=False),
            "Every pixel drawn from N(0, 1) and scaled to the valid range, which two thirds leave.",
        ),
        OodSet(
            "photo_patches",
            "Photo patches",
            _photo_patches,
            "Small patches of two photographs (china.jpg and flower.jpg of scikit-learn).",
        ),
        _spec_set("mnist", "MNIST", "tfds:mnist:test", "MNIST's test images: handwritten digits."),
        _spec_set(
            "fashion_mnist",
            "Fashion-MNIST",
            "tfds:fashion_mnist:test",
            "Fashion-MNIST's test images: grey pictures of clothes.",
        ),
        _spec_set(
            "not_mnist",
            "notMNIST",
            "tfds:not_mnist:test",
            "Letters A to J out of many fonts, white on black.",
        ),
        _spec_set(
            "svhn",
            "SVHN",
            "tfds:svhn_cropped:test",
            "SVHN's test images: house numbers, cropped to single digits.",
        ),
        _spec_set(
            "imagenet32",
            "ImageNet32",
            "tfds:downsampled_imagenet/32x32:validation",
            "ImageNet's validation images, shrunk to 32x32.",
        ),
        _left_out_set(
            "fraud",
            "Fraud",
            "Fraudulent card payments: all of them, or the fifth that a model with labels has not "
            "seen.",
        ),
        OodSet(
            "celeba",
            "CelebA",
            _celeba,
            "CelebA's test images: faces, the middle 178x178 pixels shrunk by averaging over the "
            "area that each pixel covers.",
            is_read=True,
        ),
        _omniglot_set(
            "omniglot",
            "Omniglot",
            resizing.AREA,
            "Omniglot's test drawings of characters, inverted to white on black and shrunk by "
            "averaging over the area that each pixel covers.",
        ),
        _omniglot_set(
            "omniglot_nearest",
            "Omniglot, nearest",
            resizing.NEAREST,
            "Omniglot's test drawings, inverted to white on black and shrunk by taking the one "
            "pixel under each centre: black or white, with jagged edges.",
        ),
        _omniglot_set(
            "omniglot_bilinear",
            "Omniglot, bilinear",
            resizing.BILINEAR,
            "Omniglot's test drawings, inverted to white on black and shrunk by bilinear sampling "
            "of the four pixels around each centre, without antialiasing.",
        ),
        _omniglot_set(
            "omniglot_thick",
            "Omniglot, thick",
            resizing.AREA,
            "Omniglot's test drawings, inverted to white on black, their strokes widened to about "
            f"MNIST's by a disc of {THICK_DILATION} pixels at 105x105, and shrunk by averaging "
            "over the area that each pixel covers.",
            dilation=THICK_DILATION,
        ),
        _attack_set(
            "adversarial_unclipped",
            "Adversarial, unclipped",
            adversarial.member_gradient,
            "Gaussian noise N(0, 1) moved one step of 0.3 of the range up the gradient of member "
            "0's score, neither clipped: most pixels lie outside the valid range.",
            noise_clipped=False,
            result_clipped=False,
            attacked_members=(0,),
        ),
        _attack_set(
            "adversarial_clipped",
            "Adversarial, clipped",
            adversarial.member_gradient,
            "Gaussian noise moved one step of 0.3 of the range up the gradient of member 0's "
            "score, then clipped to the valid range.",
            noise_clipped=True,
            result_clipped=True,
            attacked_members=(0,),
        ),
        _attack_set(
            "adversarial_pgd_clipped",
            "Adversarial, PGD",
            adversarial.member_gradient,
            "Gaussian noise moved ten smaller steps up the gradient of member 0's score, kept "
            "within 0.3 of the range of where it began and within the valid range.",
            noise_clipped=True,
            result_clipped=True,
            steps=10,
            step_size=adversarial.PAPER_EPS / 4,
            attacked_members=(0,),
        ),
        _attack_set(
            "adversarial_waic_clipped",
            "Adversarial, WAIC",
            adversarial.waic_gradient,
            "Gaussian noise moved one step of 0.3 of the range up the gradient of the whole "
            "ensemble's WAIC, then clipped to the valid range.",
            noise_clipped=True,
            result_clipped=True,
            attacked_score="log_prob",
        ),
        _attack_set(
            "adversarial_unclipped_step",
            "Adversarial, unclipped step",
            adversarial.member_gradient,
            "Gaussian noise, clipped to [0, 1], moved one step of 0.3 of the range up the gradient "
            "of member 0's score; the result is not clipped.",
            noise_clipped=True,
            result_clipped=False,
            attacked_members=(0,),
        ),
        _attack_set(
            "adversarial_image_gradient_clipped",
            "Adversarial, gradient at images",
            adversarial.member_gradient,
            "Gaussian noise moved one step of 0.3 of the range up the gradient that member 0's "
            "score has at a test image, not at the noise, then clipped to the valid range.",
            noise_clipped=True,
            result_clipped=True,
            gradient_at=adversarial.at_test_inputs,
            attacked_members=(0,),
        ),
        _attack_set(
            "adversarial_as_released",
            "Adversarial, as released",
            adversarial.member_gradient,
            "Gaussian noise N(0, 1) moved one step of 0.3 of the range up the gradient that member "
            "0's score has at a test image, neither clipped, as the authors' code does to a VAE.",
            noise_clipped=False,
            result_clipped=False,
            gradient_at=adversarial.at_test_inputs,
            attacked_members=(0,),
        ),
        _attack_set(
            "adversarial_lowered_as_released",
            "Adversarial, lowered",
            adversarial.member_descent,
            "Gaussian noise N(0, 1) moved one step of 0.3 of the range down the gradient that "
            "member 0's score has at a test image, neither clipped, as the authors' code does it "
            "to a WGAN: no attack, as it makes the noise less normal.",
            noise_clipped=False,
            result_clipped=False,
            gradient_at=adversarial.at_test_inputs,
            attacked_members=(0,),
        ),
    )
}


def parse_ood(text: str) -> tuple[str, str | None]:
    """What `--ood` holds: a registered name, any SPEC, or NAME=SPEC.

    NAME=SPEC reads the inputs of a registered set from SPEC, as they are: for sets that a user has
    in another form than the one registered.

    Returns:
      The set's name (a SPEC is its own), and the SPEC where there is one.

    Raises:
      UserError: none of these; NAME is a set that is made and not read.
    """
    if text in OOD_SETS:
        return text, None
    if scheme_of(text) is not None:
        return text, text
    name, equals, spec = text.partition("=")
    if equals and name in OOD_SETS and scheme_of(spec) is not None:
        if not OOD_SETS[name].is_read:
            read = ", ".join(row.name for row in OOD_SETS.values() if row.is_read)
            raise UserError(ARGUMENT, f"NAME=SPEC with a set that is read: {read}", repr(text))
        return name, spec
    expected = f"one of {', '.join(OOD_SETS)}, or a SPEC: {spec_forms()}, or NAME=SPEC of these"
    raise UserError(ARGUMENT, expected, repr(text))


def open_ood(text: str, context: OodContext) -> tuple[OodSet, Source]:
    """Opens a registered set, any SPEC, or NAME=SPEC, limited to `context.num_examples`.

    Returns:
      The row of OOD_SETS (for a SPEC, one named after it; for NAME=SPEC, NAME's with what it was
      read from in place of how it is made) and its examples.

    Raises:
      UserError: see `parse_ood`; a set that does not suit the model or cannot be had on this
        machine.
    """
    name, spec = parse_ood(text)
    if spec is None:
        row = OOD_SETS[name]
    else:
        label = OOD_SETS[name].label if name in OOD_SETS else name
        row = _spec_set(name, label, spec, f"Inputs read from {spec}.")
        row = dataclasses.replace(row, is_stand_in=name in OOD_SETS)
    return row, take(row.build(context), context.num_examples)
