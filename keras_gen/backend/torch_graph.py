"""A function as PyTorch records it, a list of operations, and that list made shorter.

What is left gives the same numbers to the bit: the same operations on the same numbers, but that
what was computed twice is computed once, what is the same at every call is computed before, idle
copies are left out, and what nobody will read again is written over.
"""

import operator

import torch
from torch.fx.node import map_arg

from keras_gen.backend import torch_random

aten = torch.ops.aten
LARGEST = 2**16  # Bytes of a tensor that is computed once and kept in memory.

# Operations whose result depends on the shape of their input alone.
_OF_SHAPES = {aten.ones_like.default, aten.zeros_like.default, aten.full_like.default}

# Operations that return a view of their input, though their schema does not say so.
_UNMARKED_VIEWS = {
    aten._unsafe_view.default,
    aten.unsafe_split.Tensor,
    aten.unsafe_split_with_sizes.default,
}
_MOVING = ("set_", "resize_", "resize_as_")  # A tensor gets other memory.

# Operations on one element after another, and how each is written over an input.
_OVER = {
    aten.add.Tensor: (aten.add.out, "out"),
    aten.sub.Tensor: (aten.sub.out, "out"),
    aten.mul.Tensor: (aten.mul.out, "out"),
    aten.div.Tensor: (aten.div.out, "out"),
    aten.exp.default: (aten.exp.out, "out"),
    aten.neg.default: (aten.neg.out, "out"),
    aten.tanh.default: (aten.tanh.out, "out"),
    aten.tanh_backward.default: (aten.tanh_backward.grad_input, "grad_input"),
    aten.sigmoid.default: (aten.sigmoid.out, "out"),
    aten.softplus.default: (aten.softplus.out, "out"),
    aten.softplus_backward.default: (aten.softplus_backward.grad_input, "grad_input"),
    aten.leaky_relu.default: (aten.leaky_relu.out, "out"),
    aten.leaky_relu_backward.default: (aten.leaky_relu_backward.grad_input, "grad_input"),
    aten.threshold_backward.default: (aten.threshold_backward.grad_input, "grad_input"),
    aten.relu.default: (aten.relu_.default, None),
}

# Operations whose short name in Python reaches them sooner than the full one.
_SHORT = (
    *("add", "clone", "div", "exp", "mm", "mul", "neg", "permute", "pow", "relu", "relu_", "sub"),
    *("sum", "t", "tanh", "unsqueeze"),
)
_OVERLOADS = ("Scalar", "Tensor", "Tensor_Scalar", "default", "dim_IntList")
_SHORTER = {
    getattr(getattr(aten, name), overload): getattr(torch, name)
    for name in _SHORT
    for overload in _OVERLOADS
    if overload in getattr(aten, name).overloads()
}
_SHORTER |= {getattr(aten, name).out: getattr(torch, name) for name in ("add", "div", "mul", "sub")}
_SHORTER |= {aten.view.default: torch.Tensor.view, aten.expand.default: torch.Tensor.expand}
_SHORTER |= torch_random.PLAIN


def recorded(function, arguments):
    """A `GraphModule` of `function(*arguments)`; raises whatever where it looks at values."""
    # Here, as they take half a second.
    from torch._subclasses import FakeTensorMode
    from torch.fx.experimental.proxy_tensor import make_fx

    # New ones: the same tensor given twice would be one, for good.
    arguments = [x.detach() if torch.is_tensor(x) else x for x in arguments]
    # Tensors without numbers: who looks at one, or brings one of his own, is not traced.
    with FakeTensorMode(allow_non_fake_inputs=False) as mode:
        return make_fx(function)(
            *(mode.from_tensor(x) if torch.is_tensor(x) else x for x in arguments)
        )


def same(one, other):
    """Whether two records are of the same operations on the same numbers."""
    if one.code != other.code:
        return False
    constants = [node.target for node in one.graph.find_nodes(op="get_attr")]
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in constants)


def shorten(graph_module):
    """Takes out of a record what can be spared: of each input, whether it is left."""
    graph = graph_module.graph
    for node in graph.find_nodes(op="call_function", target=aten.detach.default):
        node.replace_all_uses_with(node.args[0])  # No gradient flows here.
    for node in graph.nodes:
        _leave_as_it_was(node)
    graph.eliminate_dead_code()
    if not any(map(_writes, graph.nodes)):  # Before a write a value may be another.
        _do_before(graph_module)
        _do_once(graph)
        _leave_copies_out(graph)
        graph.eliminate_dead_code()
        _write_over(graph)
    for node in graph.nodes:
        node.target = _SHORTER.get(node.target, node.target)
    places = graph.find_nodes(op="placeholder")
    used = [bool(place.users) for place in places]
    for place, is_used in zip(places, used, strict=True):
        if not is_used:
            graph.erase_node(place)
    graph_module.recompile()
    return used


def _leave_as_it_was(node):
    """Makes of `x.add_(y)` an `x.add(y)` where nothing else reads x."""
    if not _writes(node) or not node.args:
        return
    written = node.args[0]
    name = node.target._schema.name.removeprefix("aten::")
    packet = getattr(aten, name.removesuffix("_"), None)
    overload = getattr(packet, node.target._overloadname, None)
    if (
        name.endswith("_")
        and name not in _MOVING
        and overload
        and isinstance(written, torch.fx.Node)
        and list(written.users) == [node]
        and _is_new(written)
    ):
        # `gt_` keeps the type of x, and `gt` does not.
        value = overload(*map_arg(node.args, _value), **map_arg(node.kwargs, _value))
        if torch.is_tensor(value) and _layout(value) == _layout(_value(node)):
            node.target = overload


def _do_before(graph_module):
    """Computes what depends on no input: numbers, and the gradient at the end of a loss."""
    graph = graph_module.graph
    returned = set(map(_memory, graph.output_node().all_input_nodes))
    known = {node: getattr(graph_module, node.target) for node in graph.find_nodes(op="get_attr")}
    for node in list(graph.nodes):
        if node.op != "call_function" or not _draws_nothing(node.target):
            continue
        known_here = known
        if node.target in _OF_SHAPES:
            known_here = {source: _unset(source) for source in node.all_input_nodes}
        if _memory(node) in returned or not all(n in known_here for n in node.all_input_nodes):
            continue
        find = known_here.__getitem__
        value = node.target(*map_arg(node.args, find), **map_arg(node.kwargs, find))
        if not torch.is_tensor(value) or value.untyped_storage().nbytes() > LARGEST:
            continue
        known[node] = value
        name = f"_known_{len(known)}"
        graph_module.register_buffer(name, value, persistent=False)
        with graph.inserting_before(node):
            constant = graph.get_attr(name)
        constant.meta = node.meta
        known[constant] = value
        node.replace_all_uses_with(constant)


def _value(node):
    """What stands for a node's tensor: its shape, strides and type without numbers."""
    return node.meta.get("val")


def _layout(tensor):
    return tensor.shape, tensor.stride(), tensor.dtype


def _unset(node):
    val = _value(node)
    return torch.empty_strided(val.shape, val.stride(), dtype=val.dtype, device=val.device)


def _do_once(graph):
    """Uses what was computed already, of the same inputs: what Keras makes of a kernel, say."""
    returned = set(map(_memory, graph.output_node().all_input_nodes))  # The caller's own.
    done = {}
    for node in graph.nodes:
        if (
            node.op == "call_function"
            and _memory(node) not in returned
            and _draws_nothing(node.target)
        ):
            key = (node.target, str(node.args), str(node.kwargs))  # Nodes have names.
            node.replace_all_uses_with(done.setdefault(key, node))


def _leave_copies_out(graph):
    """Uses what was copied in place of a copy that lies in memory in the same way.

    Keras orders the pixels of an image in the one way and then in the other.
    """
    returned = set(map(_memory, graph.output_node().all_input_nodes))
    first = {}  # Of copies of copies.
    for node in graph.find_nodes(op="call_function", target=aten.clone.default):
        source = first[node] = first.get(node.args[0], node.args[0])
        if node not in returned and _layout(_value(node)) == _layout(_value(source)):
            node.replace_all_uses_with(source)


def _write_over(graph):
    """Writes what is computed one element after another over an input that is not read again."""
    memories = {node: _memory(node) for node in graph.nodes}
    last_reader = {memories[x]: node for node in graph.nodes for x in node.all_input_nodes}
    chosen = {}
    for node in graph.nodes:
        for source in node.all_input_nodes if node.target in _OVER else ():
            memory = memories[source]
            if (
                last_reader[memory] is node
                and _is_new(memory)
                and _lies_as(source, node)
                and [memories[x] for x in node.all_input_nodes].count(memory) == 1
            ):
                chosen.setdefault(node, source)
    for node, source in chosen.items():
        overload, name = _OVER[node.target]
        node.target = overload
        if name:
            node.kwargs = {**node.kwargs, name: source}


def _memory(node):
    """The node that made the memory which a node's tensor lies in."""
    while _is_view(node):
        node = node.all_input_nodes[0]
    return node


def _is_view(node):
    if node.target is operator.getitem:
        return _is_view(node.args[0])
    schema = getattr(node.target, "_schema", None)
    aliases = schema is not None and any(value.alias_info for value in schema.returns)
    return aliases or node.target in _UNMARKED_VIEWS


def _is_new(node):
    """Whether a node makes a tensor in memory of its own, which nothing else knows."""
    if node.target is operator.getitem:
        return _is_new(node.args[0])
    return node.op == "call_function" and hasattr(node.target, "_schema") and not _is_view(node)


def _lies_as(source, node):
    """Whether a tensor fills its memory, and a node's lies in the same way.

    And so do the others: else PyTorch might go through the elements in another order.
    """
    old, new = _value(source), _value(node)
    others = map(_value, node.all_input_nodes)
    return (
        _layout(old) == _layout(new)
        and old.numel() * old.itemsize == old.untyped_storage().nbytes()
        and all(x.stride() == new.stride() for x in others if x.shape == new.shape)
    )


def _writes(node):
    schema = getattr(node.target, "_schema", None)
    return schema is not None and schema.is_mutable


def _draws_nothing(target):
    tags = getattr(target, "tags", None)
    return tags is not None and torch.Tag.nondeterministic_seeded not in tags
