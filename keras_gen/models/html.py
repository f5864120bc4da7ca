"""HTML table of a model's networks, for notebooks."""

import html

import keras


def table(model):
    """Return an HTML table of a model's networks, below a line of its settings."""
    config = model.get_config()
    parts = {name: getattr(model, name, None) for name in config}
    networks = {name: part for name, part in parts.items() if isinstance(part, keras.Model)}
    settings = {
        name: text
        for name, value in config.items()
        if name not in (*networks, "name", "dtype", "trainable") and (text := in_words(value))
    }
    line = ", ".join(f"{name} = {text}" for name, text in settings.items())
    rows = [_row(name, network) for name, network in networks.items() if network.built]
    return (
        f"<b>{type(model).__name__}</b> {html.escape(line)}"
        f"<table><tr><th>network</th><th>takes</th><th>gives</th><th>parameters</th></tr>"
        f"{''.join(rows)}</table>"
    )


def _row(name, network):
    shapes = "", ""  # A subclassed network has none.
    if hasattr(network, "input_shape"):
        shapes = map(_shapes, (network.input_shape, network.output_shape))
    cells = (name, *shapes, f"{network.count_params():,}")
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def in_words(value):
    """Return an entry of a config as text; "" if it is not set."""
    if isinstance(value, dict):
        return str(value.get("class_name", ""))
    if isinstance(value, (list, tuple)):
        return ", ".join(filter(None, map(in_words, value)))
    return "" if value is None or value is False else str(value)


def _shapes(shape):
    """Return one shape or several without the batch, as text; a label has none."""
    if isinstance(shape, dict):
        shape = [*shape.values()]
    shapes = shape if isinstance(shape[0], (list, tuple)) else [shape]
    return " and ".join(" x ".join(map(str, one[1:])) or "a label" for one in shapes)
