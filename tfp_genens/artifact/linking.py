"""Many members, one graph: members that differ in numbers alone are run by one member's functions.

A SavedModel's function is a graph with captured variables and constants. Here it is imported with
those as arguments, so that any member which was built alike can be run by it. That needs no model
code. Members built differently (another number of trees, say) each keep a graph of their own.
"""

from __future__ import annotations

import graphlib
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import function_pb2
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

Tensors = dict[str, tf.Tensor]
Function = Callable[[list[tf.Tensor], Mapping[str, tf.Tensor]], Tensors]


class LinkedMember(tf.Module):
    """One member: variables of its own, and functions that may be another's.

    Args:
      weights: its variables.
      captured: signature -> what its function captures, in order: variables and constants.
      template: whose functions it runs.
      seed: of its scoring noise, int32 [2].
    """

    def __init__(
        self,
        weights: Sequence[tf.Variable],
        captured: Mapping[str, Sequence[tf.Variable | tf.Tensor]],
        template: _Template,
        seed: np.ndarray,
    ):
        super().__init__()
        self.weights = list(weights)
        self._seed = seed
        self._captured = lambda signature: captured[signature]  # hidden from tf.Module's tracking
        self._template = lambda: template

    def call(self, signature: str, **arguments: tf.Tensor) -> Tensors:
        """Runs a signature of the member's; to be called inside a tf.function.

        Where it takes a seed and `arguments` has none, the seed is a constant of that graph.
        """
        handles = [
            source.handle if isinstance(source, tf.Variable) else source
            for source in self._captured(signature)
        ]
        if "seed" in self._template().arguments(signature):
            arguments.setdefault("seed", tf.constant(self._seed))
        return self._template().function(signature)(handles, arguments)


class _Template:
    """The functions of one SavedModel, as functions of what they capture."""

    def __init__(self, directory: Path):
        self._model = tf.saved_model.load(str(directory))
        self._functions: dict[str, Function] = {}

    def arguments(self, signature: str) -> Mapping[str, tf.TensorSpec]:
        return self._model.signatures[signature].structured_input_signature[1]

    def function(self, signature: str) -> Function:
        """(captured, arguments) -> outputs; traced once for all members that call it."""
        if signature not in self._functions:
            self._functions[signature] = _imported(self._model.signatures[signature])
        return self._functions[signature]


def _imported(concrete: Any) -> Function:
    graph_def = concrete.graph.as_graph_def()
    num_arguments = len(concrete.inputs) - len(concrete.captured_inputs)
    arguments_of = [tensor.op.name for tensor in concrete.inputs[:num_arguments]]
    captures = [tensor.name for tensor in concrete.inputs[num_arguments:]]
    names = sorted(concrete.structured_outputs)  # as tf.nest flattens a dictionary

    @tf.function(autograph=False)
    def run(captured, arguments):
        found = tf.graph_util.import_graph_def(
            graph_def,
            input_map={
                **{f"{name}:0": arguments[name] for name in arguments_of},
                **dict(zip(captures, captured, strict=True)),
            },
            return_elements=[tensor.name for tensor in concrete.outputs],
            name="",
        )
        for tensor, original in zip(found, concrete.outputs, strict=True):
            tensor.set_shape(original.shape)
        return dict(zip(names, found, strict=True))

    return run


def link(
    directories: Sequence[Path], signatures: Sequence[str], seeds: Sequence[np.ndarray]
) -> list[LinkedMember]:
    """Members out of their SavedModels, with one graph for all that are built alike.

    Args:
      directories: of SavedModels that `artifact.export` wrote.
      signatures: those that will be called.
      seeds: of the members' scoring noise.
    """
    templates: dict[str, _Template] = {}
    constants: dict[bytes, tf.Tensor] = {}
    members = []
    for directory, seed in zip(directories, seeds, strict=True):
        graph = _read_graph(directory)
        key = structure(graph, signatures)
        if key not in templates:
            templates[key] = _Template(directory)
        weights = _variables(directory, graph)
        captured = {
            name: [
                weights[source] if isinstance(source, int) else _constant(source, constants)
                for source in _captures(graph, name)
            ]
            for name in signatures
        }
        members.append(LinkedMember(weights, captured, templates[key], seed))
    return members


def _read_graph(directory: Path) -> meta_graph_pb2.MetaGraphDef:
    saved_model = saved_model_pb2.SavedModel()
    saved_model.ParseFromString((directory / "saved_model.pb").read_bytes())
    (graph,) = saved_model.meta_graphs
    return graph


def _children(graph: meta_graph_pb2.MetaGraphDef, node_id: int) -> dict[str, int]:
    children = graph.object_graph_def.nodes[node_id].children
    return {child.local_name: child.node_id for child in children}


def _weight_ids(graph: meta_graph_pb2.MetaGraphDef) -> list[int]:
    """Node ids of the variables that `artifact.export` keeps as `weights`, in its order."""
    by_position = _children(graph, _children(graph, 0)["weights"])
    return [by_position[str(k)] for k in range(len(by_position))]


def _variables(directory: Path, graph: meta_graph_pb2.MetaGraphDef) -> list[tf.Variable]:
    checkpoint = tf.train.load_checkpoint(str(directory / "variables" / "variables"))
    key = "weights/{}/.ATTRIBUTES/VARIABLE_VALUE"
    return [
        tf.Variable(checkpoint.get_tensor(key.format(k)), trainable=False)
        for k in range(len(_weight_ids(graph)))
    ]


def _function_name(graph: meta_graph_pb2.MetaGraphDef, signature: str) -> str:
    """The library's name of the function behind a signature."""
    node_id = _children(graph, _children(graph, 0)["signatures"])[signature]
    node = graph.object_graph_def.nodes[node_id]
    return node.bare_concrete_function.concrete_function_name


def _captures(graph: meta_graph_pb2.MetaGraphDef, signature: str) -> Iterator[int | Any]:
    """What a signature captures, in order: a weight's position, or a constant's TensorProto."""
    position = {node_id: k for k, node_id in enumerate(_weight_ids(graph))}
    values = {node.name: node.attr["value"] for node in graph.graph_def.node if node.op == "Const"}
    objects = graph.object_graph_def
    for node_id in objects.concrete_functions[_function_name(graph, signature)].bound_inputs:
        if node_id in position:
            yield position[node_id]
        else:
            yield values[objects.nodes[node_id].constant.operation].tensor


def _constant(tensor: Any, known: dict[bytes, tf.Tensor]) -> tf.Tensor:
    """A constant that members share where their values are the same."""
    digest = hashlib.sha256(tensor.SerializeToString(deterministic=True)).digest()
    if digest not in known:
        known[digest] = tf.constant(tf.make_ndarray(tensor))
    return known[digest]


def structure(graph: meta_graph_pb2.MetaGraphDef, signatures: Sequence[str]) -> str:
    """SHA-256 of what signatures compute, but for captured values and for names."""
    library = {function.signature.name: function for function in graph.graph_def.library.function}
    seen: dict[str, str] = {}
    digest = hashlib.sha256()
    for name in signatures:
        function = _function_name(graph, name)
        digest.update(f"{name} {_function_structure(function, library, seen)}\n".encode())
        for source in _captures(graph, name):
            if isinstance(source, int):
                digest.update(f"variable {source}\n".encode())
            else:
                digest.update(f"{source.dtype} {source.tensor_shape}\n".encode())
    for node_id in _weight_ids(graph):
        variable = graph.object_graph_def.nodes[node_id].variable
        digest.update(f"{variable.dtype} {variable.shape}\n".encode())
    return digest.hexdigest()


def _function_structure(
    name: str, library: Mapping[str, function_pb2.FunctionDef], seen: dict[str, str]
) -> str:
    """A digest of what a library function returns, whatever its nodes are called and ordered.

    A node's digest is that of its operation, its attributes and the digests of its inputs.
    """
    if name not in library:
        return name
    if name not in seen:
        function = library[name]
        digests = {arg.name: f"arg{k}" for k, arg in enumerate(function.signature.input_arg)}
        nodes = {node.name: node for node in function.node_def}
        needs = {name: map(_name_of, node.input) for name, node in nodes.items()}
        for node_name in graphlib.TopologicalSorter(needs).static_order():
            if node_name in digests:
                continue
            node = nodes[node_name]
            inputs = [_reference(r, digests) for r in node.input if not r.startswith("^")]
            after = sorted(_reference(r, digests) for r in node.input if r.startswith("^"))
            attributes = [
                (key, _attribute(node.attr[key], library, seen))
                for key in sorted(node.attr)
                if not key.startswith("_") and key != "config_proto"
            ]
            digests[node_name] = _sha256([node.op, inputs, after, attributes])
        also_run = (function.control_ret[k] for k in function.signature.control_output)
        returned = (function.ret[arg.name] for arg in function.signature.output_arg)
        found = [_reference(reference, digests) for reference in returned]
        seen[name] = _sha256([found, sorted(digests[node] for node in also_run)])
    return seen[name]


def _name_of(reference: str) -> str:
    """The node or argument of an input, e.g. "a" of "^a" and of "a:output:0"."""
    return reference.lstrip("^").partition(":")[0]


def _reference(reference: str, digests: Mapping[str, str]) -> str:
    """An input with the name replaced by the digest of what it names."""
    name = _name_of(reference)
    return reference.replace(name, digests[name], 1)


def _sha256(content: Any) -> str:
    return hashlib.sha256(repr(content).encode()).hexdigest()


def _attribute(
    value: Any, library: Mapping[str, function_pb2.FunctionDef], seen: dict[str, str]
) -> str:
    kind = value.WhichOneof("value")
    if kind == "func":
        return _function_structure(value.func.name, library, seen)
    if kind == "list" and value.list.func:
        return str([_function_structure(func.name, library, seen) for func in value.list.func])
    return hashlib.sha256(value.SerializeToString(deterministic=True)).hexdigest()
