"""Pictures and numbers for TensorBoard, written by its own package: TensorFlow is not needed."""

import io

from PIL import Image


class Writer:
    """Writes to a log directory; the writers of one directory share a file, all of which is shown.

    A step is a number of epochs of training.
    """

    _open = {}  # log_dir -> (writer, number of its users)

    def __init__(self, log_dir):
        try:
            # Imported here, so that a missing package raises before training.
            from tensorboard.summary.writer.event_file_writer import EventFileWriter
        except ImportError as error:
            raise ImportError(
                "`tensorboard_dir` needs the package tensorboard: `pip install tensorboard`, "
                "or leave `tensorboard_dir` out."
            ) from error
        self.file_writer = EventFileWriter
        self.log_dir = log_dir
        self.writer = None

    def open(self):
        """Start a new event file, one for each `fit`."""
        self.close()  # The file of a `fit` that was interrupted.
        key = str(self.log_dir)
        self.writer, users = self._open.get(key) or (self.file_writer(key), 0)
        self._open[key] = self.writer, users + 1

    def write_numbers(self, values, step):
        from tensorboard.compat.proto.summary_pb2 import Summary

        self._write([Summary.Value(tag=k, simple_value=float(v)) for k, v in values.items()], step)

    def write_settings(self, settings):
        """Write hyperparameters, a dictionary, for the tab that compares runs by them."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.plugins.hparams.summary_v2 import hparams_pb

        known = {
            name: value if isinstance(value, (bool, int, float, str)) else str(value)
            for name, value in settings.items()
            if value is not None
        }
        self.writer.add_event(Event(summary=hparams_pb(known)))

    def write_graph(self, network):
        """Write the layers of a functional or Sequential network, as Keras's own callback does."""
        from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
        from tensorboard.plugins.graph.metadata import PLUGIN_NAME_KERAS_MODEL
        from tensorboard.util import tensor_util

        plugin = SummaryMetadata.PluginData(plugin_name=PLUGIN_NAME_KERAS_MODEL, content=b"1")
        value = Summary.Value(
            tag=network.name,
            metadata=SummaryMetadata(plugin_data=plugin),
            tensor=tensor_util.make_tensor_proto(network.to_json()),
        )
        self._write([value], step=0)

    def write_picture(self, tag, picture, step):
        from tensorboard.compat.proto.summary_pb2 import Summary

        png = io.BytesIO()
        Image.fromarray(picture).save(png, format="PNG")
        height, width, _ = picture.shape
        encoded = Summary.Image(
            height=height, width=width, colorspace=3, encoded_image_string=png.getvalue()
        )
        self._write([Summary.Value(tag=tag, image=encoded)], step)

    def close(self):
        if self.writer is None:
            return
        self.writer = None
        writer, users = self._open.pop(str(self.log_dir))
        if users > 1:
            self._open[str(self.log_dir)] = writer, users - 1
        else:
            writer.close()

    def _write(self, values, step):
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        self.writer.add_event(Event(step=step, summary=Summary(value=values)))
