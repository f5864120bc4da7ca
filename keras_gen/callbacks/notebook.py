"""Pictures in a notebook: Jupyter, Colab and their like."""

import io
import sys

from PIL import Image


class Cell:
    """Shows pictures below a cell of a notebook, each in the place of the one before it.

    Args:
        display: True shows them, False does not, None does in a notebook.
    """

    def __init__(self, display=None):
        if display and not is_notebook():
            raise ValueError(
                "`display=True` shows pictures in a notebook, and this Python runs none. "
                "Leave it out: the pictures are files in `directory`."
            )
        self.shows = display is not False and is_notebook()
        self.handle = None

    def begin(self):
        """Let the next picture have a place of its own."""
        self.handle = None

    def show(self, picture, caption):
        """Show a uint8 array (rows, columns, 3); the caption is for those who cannot see it."""
        if not self.shows:
            return
        import IPython.display

        png = io.BytesIO()
        Image.fromarray(picture).save(png, format="PNG")
        image = IPython.display.Image(png.getvalue(), format="png", alt=caption)
        if self.handle is None:
            self.handle = IPython.display.display(image, display_id=True)
        else:
            self.handle.update(image)


def is_notebook():
    """Return whether cells of a notebook run in this process."""
    ipython = sys.modules.get("IPython")  # It is there if it runs this code.
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")
