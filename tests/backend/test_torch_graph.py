"""A record that was made shorter computes what the function does, over nobody's numbers."""

import keras
import pytest

if keras.config.backend() != "torch":
    pytest.skip("the others compile their steps", allow_module_level=True)

from keras_gen.backend import torch_graph  # noqa: E402

torch = pytest.importorskip("torch")
F = torch.nn.functional


def not_the_inputs(x, y):
    return F.relu(x), torch.exp(x + y) - 1


def not_what_is_returned(x, y):
    product = x * y
    return product, product + 1, torch.tanh(product)


def not_what_a_view_still_shows(x, y):
    product = x * y
    turned = product.t()
    more = product + 1
    return turned.sum(0), more


def not_through_one_of_two_views(x, y):
    product = x * y
    return product + product.t(), x + 1


def returned_twice(x, y):
    return x * y, torch.ones_like(x), x * y, torch.ones_like(x)


def returned_as_views(x, y):
    turned = (x * y).t()
    return turned, (x * y).view(-1), x.clone().t(), torch.ones(6).view(2, 3), torch.ones(6)


def written_in_its_own_type(x, y):
    above, rows = x * y, (x * 3).int()
    return above.gt_(0).sum(), rows.cumsum_(0), (x + 1).logical_not_()


def shown_by_parts(x, y):
    product = x * y
    first, second = product.unsafe_split(3)
    third, _ = product.split(3, 1)
    more = product + 1
    return more.sum(), first * 2, second * 3, third - 1


def given_other_memory(x, y):
    product, sums = x * y, x + y
    product.set_(sums)
    return product + 1, sums * 2


def not_a_part_or_a_repetition(x, y):
    column = (x * y)[:, :1]
    return column + 1, column.expand(6, 6) + y, torch.neg(column.expand(6, 6))


def not_in_another_type(x, y):
    return (x * y).double() + 1, (x > y) * (x - y)


def not_what_stays_the_same(x, y):
    constant = torch.ones_like(x) * 0.5
    return constant * x, F.softplus(constant) + y, torch.full_like(x, 2.0).neg()


def written_by_the_function(x, y):
    product, root = x * y, torch.sqrt(x.abs())
    product.add_(1)
    product = product.masked_fill_(x > y, 0) * root
    return product, root.unsqueeze_(0) + 1


def written_under_a_view(x, y):
    product = x * y
    seen = product.view(-1)
    product.add_(y)
    return seen * 2, product - 1


def computed_twice(x, y):
    return (x @ y) * torch.sigmoid(x @ y), torch.tanh((x @ y).t())


def with_a_gradient(x, y):
    x = x.detach().requires_grad_()
    loss = F.softplus(F.leaky_relu(torch.tanh(x @ y) * y) - F.relu(x)).sum()
    (slope,) = torch.autograd.grad(loss, x, create_graph=True)
    (second,) = torch.autograd.grad((slope**2).sum(), x)
    return loss.detach(), slope.detach(), second


FUNCTIONS = [
    *(not_the_inputs, not_what_is_returned, not_what_a_view_still_shows),
    *(not_through_one_of_two_views, not_a_part_or_a_repetition, not_in_another_type),
    *(not_what_stays_the_same, written_by_the_function, written_under_a_view, computed_twice),
    *(with_a_gradient, returned_twice, returned_as_views, written_in_its_own_type),
    *(shown_by_parts, given_other_memory),
]


def shortened(function, arguments):
    record = torch_graph.recorded(function, arguments)
    before = len(record.graph.nodes)
    used = torch_graph.shorten(record)
    return record, used, before


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_it_computes_the_same_at_every_call(function):
    generator = torch.Generator().manual_seed(0)
    draw = [torch.randn(6, 6, generator=generator) for _ in range(4)]
    record, used, _ = shortened(function, draw[:2])
    for arguments in (draw[:2], draw[2:], draw[:2]):
        copies = [x.clone() for x in arguments]
        given = [x for x, is_used in zip(copies, used, strict=True) if is_used]
        with torch.no_grad():
            found = record.forward(*given)
        assert all(map(torch.equal, copies, arguments))
        expected = function(*copies)
        assert len(found) == len(expected)
        for value, other in zip(found, expected, strict=True):
            assert value.dtype == other.dtype and torch.equal(value, other)
            value.zero_()  # Each is the caller's own.


def test_it_is_shorter_and_writes_over_what_it_made():
    x = torch.ones(6, 6)

    def count(record, *targets):
        return sum(node.target in targets for node in record.graph.nodes)

    def over(record):
        return sum("out" in node.kwargs for node in record.graph.nodes)

    aten = torch.ops.aten
    record, _, before = shortened(computed_twice, [x, x])
    assert count(record, torch.mm) == 1 and len(record.graph.nodes) < before
    record, _, _ = shortened(not_the_inputs, [x, x])
    assert over(record) == 2 and count(record, torch.relu) == 1
    record, _, _ = shortened(not_what_stays_the_same, [x, x])
    assert count(record, aten.ones_like.default, aten.softplus.default) == 0


def test_a_draw_is_made_anew_at_every_call():
    from keras_gen.backend import torch_random

    stream = keras.random.SeedGenerator(3)

    def twice(seed):
        return torch_random._normal(seed, [3], torch.float32) * 2, seed + 1

    seed = stream.state.value.detach().clone()
    record, _, _ = shortened(twice, [seed])
    first, following = record.forward(seed)
    again, _ = record.forward(following)
    assert torch.equal(first, twice(seed)[0]) and torch.equal(again, twice(following)[0])
    assert not torch.equal(first, again)
