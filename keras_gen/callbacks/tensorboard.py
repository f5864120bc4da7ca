"""Images for TensorBoard, written by its own package: TensorFlow is not needed."""

import io


class ImageWriter:
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

    def open(self):
        """Start a new event file, one for each `fit`."""
        self.writer = self.file_writer(str(self.log_dir))

    def write(self, tag, picture, step):
        from matplotlib import image
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        png = io.BytesIO()
        image.imsave(png, picture, format="png")
        height, width, _ = picture.shape
        encoded = Summary.Image(
            height=height, width=width, colorspace=3, encoded_image_string=png.getvalue()
        )
        summary = Summary(value=[Summary.Value(tag=tag, image=encoded)])
        self.writer.add_event(Event(step=step, summary=summary))

    def close(self):
        self.writer.close()
