"""Convolutional encoder and decoder shared by the image models (paper, section 4).

Depths, kernels and strides are those of TFP's VAE example and the authors' released code.
"""

from collections.abc import Sequence

import tensorflow as tf
import tf_keras
from tf_keras import layers as tfkl

from tfp_genens.artifact.spec import InputSpec
from tfp_genens.errors import UserError
from tfp_genens.seeds import derive_int

KERNEL_SIZE = 5


def check_image_spec(input_spec: InputSpec, factor: int = 4) -> None:
    """Raises UserError unless the inputs are images whose sides divide by `factor`."""
    shape = input_spec.shape
    if len(shape) != 3 or any(side % factor or side < factor for side in shape[:2]):
        expected = f"images [height, width, channels] whose sides divide by {factor}"
        raise UserError("--dataset", expected, f"inputs of shape {list(shape)}")


def check_row_spec(input_spec: InputSpec) -> None:
    """Raises UserError unless the inputs are rows of a table."""
    shape = input_spec.shape
    if len(shape) != 1:
        raise UserError("--dataset", "rows of a table [features]", f"inputs of shape {list(shape)}")


class Network(tf.Module):
    """Layers applied in turn; the last one's output is float32 whatever the precision."""

    def __init__(self, layers: Sequence[tfkl.Layer], input_shape: Sequence[int], name: str):
        super().__init__(name=name)
        self.layers = list(layers)
        self(tf.zeros([1, *input_shape]))

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        for layer in self.layers:
            x = layer(x)
        return tf.cast(x, tf.float32)


def initializer(seed: int, index: int) -> tf_keras.initializers.Initializer:
    """Glorot, of layer `index`."""
    return tf_keras.initializers.GlorotUniform(seed=derive_int(seed, "layer", index))


def dense_layers(units: Sequence[int], *, seed: int, first: int = 0) -> list[tfkl.Layer]:
    """Fully connected float32 layers, numbered from `first`; all but the last have leaky ReLU."""
    activations = [tf.nn.leaky_relu] * (len(units) - 1) + [None]
    return [
        tfkl.Dense(n, activation, kernel_initializer=initializer(seed, first + i), dtype="float32")
        for i, (n, activation) in enumerate(zip(units, activations, strict=False))
    ]


def linear(num_inputs: int, num_outputs: int, *, seed: int, name: str) -> Network:
    """One affine map, float32, its weights drawn from the seed and the name."""
    weights = tf_keras.initializers.GlorotUniform(seed=derive_int(seed, name))
    layer = tfkl.Dense(num_outputs, kernel_initializer=weights, dtype="float32")
    return Network([layer], (num_inputs,), name)


def convolutional_encoder(
    input_shape: tuple[int, ...],
    *,
    base_depth: int,
    code_depth: int,
    dense_units: Sequence[int],
    precision: str,
    seed: int,
    name: str = "encoder",
) -> Network:
    """Images in [-1, 1], [batch, height, width, channels] -> [batch, dense_units[-1]].

    Sides divide by 4. The first convolutions have `base_depth` channels, the later ones twice as
    many, and the last, which covers the whole remaining image, `code_depth`; all dense layers but
    the last are followed by leaky ReLU. `precision` is "float32" or "mixed_bfloat16".
    """
    height, width, _ = input_shape
    policy = tf_keras.mixed_precision.Policy(precision)
    plan = [
        (base_depth, KERNEL_SIZE, 1, "same"),
        (base_depth, KERNEL_SIZE, 2, "same"),
        (2 * base_depth, KERNEL_SIZE, 1, "same"),
        (2 * base_depth, KERNEL_SIZE, 2, "same"),
        (code_depth, (height // 4, width // 4), 1, "valid"),
    ]
    layers: list[tfkl.Layer] = [
        tfkl.Conv2D(
            *row, activation=tf.nn.leaky_relu, kernel_initializer=initializer(seed, i), dtype=policy
        )
        for i, row in enumerate(plan)
    ]
    layers.append(tfkl.Flatten(dtype="float32"))
    layers += dense_layers(dense_units, seed=seed, first=len(layers))
    return Network(layers, input_shape, name)


def convolutional_decoder(
    output_shape: tuple[int, ...],
    *,
    base_depth: int,
    code_size: int,
    precision: str,
    seed: int,
    name: str = "decoder",
) -> Network:
    """Codes [batch, code_size] -> images of unbounded values [batch, height, width, channels].

    Sides divide by 4. The last hidden layers have `base_depth` channels, the first twice as many.
    """
    height, width, channels = output_shape
    policy = tf_keras.mixed_precision.Policy(precision)
    plan = [
        (2 * base_depth, (height // 4, width // 4), 1, "valid"),
        (2 * base_depth, KERNEL_SIZE, 1, "same"),
        (2 * base_depth, KERNEL_SIZE, 2, "same"),
        (base_depth, KERNEL_SIZE, 1, "same"),
        (base_depth, KERNEL_SIZE, 2, "same"),
        (base_depth, KERNEL_SIZE, 1, "same"),
        (channels, KERNEL_SIZE, 1, "same"),
    ]
    layers: list[tfkl.Layer] = [tfkl.Reshape((1, 1, code_size), dtype=policy)]
    for i, row in enumerate(plan):
        # With stride 1 and padding "same" a transposed convolution is a convolution with the
        # kernel flipped: the same family of functions, and faster as the latter.
        layer_class = tfkl.Conv2D if row[2:] == (1, "same") else tfkl.Conv2DTranspose
        is_last = i + 1 == len(plan)
        layers.append(
            layer_class(
                *row,
                activation=None if is_last else tf.nn.leaky_relu,
                kernel_initializer=initializer(seed, i),
                dtype="float32" if is_last else policy,  # its output is a distribution's parameter
            )
        )
    return Network(layers, (code_size,), name)
