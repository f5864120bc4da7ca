"""The explorer as a page in the browser: Gradio shows it, and asks an `Explorer`."""

import functools
import os
import threading

import numpy as np

from keras_gen.report.explorer import SEARCHED, STARTS, STEPS, timed

ALL = "all, in turn"
CSS = """
.gradio-container {width: 100% !important; max-width: 1080px !important; margin: auto !important}
.gradio-container main {width: 100% !important; max-width: none !important}
#picture-part {position: sticky; top: 0; align-self: flex-start; z-index: 2}
#picture img, #grid img, #strip img, #upload img, #answer img {image-rendering: pixelated}
#upload img {width: 100%; height: 100%; object-fit: contain}
"""


def build(explorer, title):
    """Return the page as a `gradio.Blocks`, which `launch` serves.

    Args:
        explorer: An `Explorer`.
        title: The first line of the page.

    Raises:
        ImportError: Gradio is not installed.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # Read while Gradio is imported.
    try:
        import gradio
    except ImportError as error:
        raise ImportError("The explorer needs Gradio: pip install gradio") from error
    # Pictures that were shown are deleted after ten minutes, and at the end.
    with gradio.Blocks(title=title, analytics_enabled=False, delete_cache=(600, 600)) as page:
        gradio.Markdown(f"# {title}")
        names = explorer.names
        label = gradio.Dropdown(
            names or [],
            value=names and names[0],
            type="index",
            label="class",
            visible=names is not None,
            elem_id="label",
        )
        parts = _Parts(gradio, page, explorer, label)
        with gradio.Tab("Latents"):
            picture = parts.latents()
        with gradio.Tab("Samples"):
            parts.samples()
        with gradio.Tab("Interpolation"):
            parts.interpolation()
        with gradio.Tab("Your image"):
            parts.your_image(picture)
    return page


def launch(page, host, port):
    """Serve the page until it is stopped; nothing of it leaves the machine. Return its address."""
    import gradio

    fonts = ("system-ui", "sans-serif"), ("ui-monospace", "monospace")  # None is loaded.
    _, address, _ = page.launch(
        server_name=host,
        server_port=port or None,
        share=False,
        inbrowser=False,
        prevent_thread_lock=True,
        quiet=True,
        show_error=True,
        ssr_mode=False,
        enable_monitoring=False,
        run_history=False,
        mcp_server=False,
        max_file_size="20mb",
        footer_links=[],
        theme=gradio.themes.Default(font=fonts[0], font_mono=fonts[1]),
        css=CSS,
    )
    return address


class _Parts:
    """The tabs of the page. A function that answers has the model to itself, and is timed."""

    def __init__(self, gradio, page, explorer, label):
        self.gradio, self.page, self.explorer, self.label = gradio, page, explorer, label
        self.lock = threading.Lock()

    def latents(self):
        gradio, explorer = self.gradio, self.explorer
        with gradio.Row():
            picture, note = self.picture("picture", "image")
            with gradio.Column():
                seed = gradio.Number(0, label="seed of z", precision=0, minimum=0, elem_id="seed")
                again = gradio.Button("Another draw", elem_id="again")
                start = explorer.coordinates(0)
                sliders = [
                    gradio.Slider(
                        *np.round((low, high), 1),
                        value=round(float(value), 2),
                        step=0.05,
                        label=text,
                        elem_id=f"slider{i}",
                    )
                    for i, (text, (low, high), value) in enumerate(
                        zip(explorer.texts(), explorer.ranges, start, strict=True)
                    )
                ]
        inputs = [seed, self.label, *sliders]

        def move(seed, label, *values):
            return explorer.picture(explorer.move(seed, values, label))

        def draw(seed, label):
            values = explorer.coordinates(seed)
            return (move(seed, label, *values), *(round(float(v), 2) for v in values))

        for slider in sliders:
            self.answer(slider.input, move, inputs, [picture], note)
        self.answer(self.label.change, move, inputs, [picture], note)
        again.click(lambda seed: int(seed) + 1, seed, seed, show_progress="hidden")
        self.answer(seed.change, draw, [seed, self.label], [picture, *sliders], note)
        self.answer(self.page.load, move, inputs, [picture], note)
        return picture

    def samples(self):
        gradio, explorer = self.gradio, self.explorer
        choices = [ALL, *(explorer.names or [])]
        with gradio.Row():
            grid, note = self.picture("grid", "samples")
            with gradio.Column():
                seed = gradio.Number(0, label="seed", precision=0, minimum=0)
                again = gradio.Button("New samples", elem_id="more")
                which = gradio.Dropdown(
                    choices,
                    value=ALL,
                    type="index",
                    label="class",
                    visible=explorer.names is not None,
                )

        def draw(seed, which):
            images = explorer.samples(seed, which - 1 if which else None)
            return explorer.picture(images)

        again.click(lambda seed: int(seed) + 1, seed, seed, show_progress="hidden")
        for event in (seed.change, which.change, self.page.load):
            self.answer(event, draw, [seed, which], [grid], note)

    def interpolation(self):
        gradio, explorer = self.gradio, self.explorer
        with gradio.Row():
            ends = [
                gradio.Number(i, label=f"seed of the {name}", precision=0, minimum=0)
                for i, name in enumerate(("first", "last"))
            ]
        strip, note = self.picture("strip", f"{STEPS} steps along the great circle")

        def draw(seed_from, seed_to, label):
            return explorer.picture(explorer.interpolate(seed_from, seed_to, label), STEPS)

        inputs = [*ends, self.label]
        for event in (*(part.change for part in inputs), self.page.load):
            self.answer(event, draw, inputs, [strip], note)

    def your_image(self, picture):
        gradio, explorer = self.gradio, self.explorer
        slow = (
            f"A GAN has no encoder: each answer is a search for z, {STARTS} times {SEARCHED} steps "
            f"of Adam, and takes a second or more. "
        )
        gradio.Markdown(
            f"{slow if explorer.is_gan else ''}What you upload is made "
            f"{' x '.join(map(str, explorer.model.example_shape))}, as the training images are. To "
            f"inpaint, paint over a part of it."
        )
        with gradio.Row():
            upload = gradio.Image(
                label="your image",
                sources=["upload", "clipboard"],
                type="numpy",
                format="png",
                elem_id="upload",
                height=300,
                image_mode="RGB",
            )
            mask = self.editor()
            answer, note = self.picture("answer", "answer")
        take = gradio.Button("Take the image of Latents", elem_id="take")
        take.click(lambda image: image, picture, upload, show_progress="hidden")

        def see(picture):
            x = None if picture is None else explorer.prepare(picture)
            return None if x is None else explorer.picture(x[0])

        upload.change(see, upload, mask, show_progress="hidden")
        with gradio.Row():
            for name, use in self.uses().items():
                button = gradio.Button(name, elem_id=name.lower())
                self.answer(button.click, use, [upload, mask, self.label], [answer], note, "full")

    def editor(self):
        """Return the image as the model sees it, to be painted over."""
        gradio, explorer = self.gradio, self.explorer
        height, width, _ = explorer.model.example_shape
        size = width * explorer.scale, height * explorer.scale
        return gradio.ImageEditor(
            label="paint",
            sources=(),
            type="numpy",
            layers=False,
            transforms=(),
            brush=gradio.Brush(size[0] // 10, ["#e11d48"], color_mode="fixed"),
            canvas_size=size,
            fixed_canvas=True,
            format="png",
            elem_id="mask",
        )

    def uses(self):
        """Return what can be asked of an image: functions by the names of buttons."""
        explorer = self.explorer

        def asked(method, upload, mask, label):
            if upload is None:
                raise self.gradio.Error("Upload an image first.")
            return method(explorer.prepare(upload), mask, label)

        def inpaint(x, mask, label):
            layers = (mask or {}).get("layers") or []
            if not layers or not np.any(layers[0][..., 3]):
                raise self.gradio.Error("Paint over what is to be hidden first.")
            return shown(explorer.inpaint(x, explorer.hidden(layers[0][..., 3]), label))

        def score(x, mask, label):
            image, score, unit = explorer.score(x, label)
            return shown(image), f"Score {score:.4g} ({unit}); higher is stranger"

        def shown(x):
            return explorer.picture(x[0])

        methods = {
            "Reconstruct": lambda x, mask, label: shown(explorer.reconstruct(x, label)),
            "Inpaint": inpaint,
            "Score": score,
        }
        if explorer.can_denoise:
            methods["Denoise"] = lambda x, mask, label: shown(explorer.denoise(x, label))
        return {name: functools.partial(asked, method) for name, method in methods.items()}

    def picture(self, name, label):
        """Return a picture that can be saved, and a line of text below it."""
        gradio = self.gradio
        with gradio.Column(elem_id=f"{name}-part"):
            image = gradio.Image(
                label=label,
                show_label=False,  # It would lie on the picture.
                alt_text=label,
                elem_id=name,
                format="png",
                interactive=False,
                buttons=["download", "fullscreen"],
            )
            return image, gradio.Markdown("", elem_id=f"{name}-note")

    def answer(self, event, use, inputs, outputs, note, progress="hidden"):
        """Let an event be answered by `use`, and the note say how long that took."""

        def use_timed(*values):
            with self.lock:
                result, seconds = timed(lambda: use(*values))
            text = f"{1000 * seconds:.0f} ms"
            if isinstance(result, tuple) and isinstance(result[-1], str):
                *result, words = result
                text = f"{words}. {text}"
            results = result if isinstance(result, list | tuple) else [result]
            return (*results, text)

        event(
            use_timed, inputs, [*outputs, note], show_progress=progress, trigger_mode="always_last"
        )
