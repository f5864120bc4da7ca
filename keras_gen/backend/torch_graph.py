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
LARGEST = 2**16  # Bytes of what is computed before: it stays in memory.

# Of what depends on a tensor's shape alone.
_OF_SHAPES = {aten.ones_like.default, aten.zeros_like.default, aten.full_like.default}

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
        node.target = torch_random.PLAIN.get(node.target, node.target)
    places = graph.find_nodes(op="placeholder")
    used = [bool(place.users) for place in places]
    for place, is_used in zip(places, used, strict=True):
        if not is_used:
            graph.erase_node(place)
    graph_module.recompile()
    return used


def _leave_as_it_was(node):
    """Makes of `x.add_(y)` an `x.add(y)` where nothing else reads x."""
    if _writes(node) and list(node.args[0].users) == [node] and _is_new(node.args[0]):
        name = node.target._schema.name.removeprefix("aten::")
        packet = getattr(aten, name.removesuffix("_"), None)
        overload = getattr(packet, node.target._overloadname, None)
        node.target = overload if name.endswith("_") and overload else node.target


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
        value = node.target(*_put(node.args, known_here), **_put(node.kwargs, known_here))
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


def _put(arguments, values):
    return map_arg(arguments, values.__getitem__)


def _unset(node):
    val = node.meta["val"]
    return torch.empty_strided(val.shape, val.stride(), dtype=val.dtype, device=val.device)


def _do_once(graph):
    """Uses what was computed already, of the same inputs: what Keras makes of a kernel, say."""
    returned = graph.output_node().all_input_nodes  # Each in memory of its own.
    done = {}
    for node in graph.nodes:
        if node.op == "call_function" and node not in returned and _draws_nothing(node.target):
            key = (node.target, str(node.args), str(node.kwargs))  # Nodes have names.
            node.replace_all_uses_with(done.setdefault(key, node))


def _leave_copies_out(graph):
    """Uses what was copied in place of a copy that lies in memory in the same way.

    Keras orders the pixels of an image in the one way and then in the other.
    """
    returned = graph.output_node().all_input_nodes
    first = {}  # Of copies of copies.
    for node in graph.find_nodes(op="call_function", target=aten.clone.default):
        source = first[node] = first.get(node.args[0], node.args[0])
        new, old = node.meta.get("val"), source.meta.get("val")
        if node in returned or not torch.is_tensor(old):
            continue
        if (new.stride(), new.dtype) == (old.stride(), old.dtype):
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
    return aliases or node.target is aten._unsafe_view.default


def _is_new(node):
    """Whether a node makes a tensor in memory of its own, which nothing else knows."""
    if node.target is operator.getitem:
        return _is_new(node.args[0])
    return node.op == "call_function" and hasattr(node.target, "_schema") and not _is_view(node)


def _lies_as(source, node):
    """Whether a tensor fills its memory, and a node's could take the same places."""
    old, new = source.meta.get("val"), node.meta.get("val")
    alike = (old.shape, old.stride(), old.dtype) == (new.shape, new.stride(), new.dtype)
    return alike and old.numel() * old.itemsize == old.untyped_storage().nbytes()


def _writes(node):
    schema = getattr(node.target, "_schema", None)
    return schema is not None and schema.is_mutable


def _draws_nothing(target):
    tags = getattr(target, "tags", None)
    return tags is not None and torch.Tag.nondeterministic_seeded not in tags
