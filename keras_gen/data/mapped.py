import keras


class MappedDataset(keras.utils.PyDataset):
    """Another `PyDataset` with a function applied to each of its batches.

    Args:
        data: The `PyDataset`.
        function: Function of one batch.
    """

    def __init__(self, data, function):
        super().__init__(data.workers, data.use_multiprocessing, data.max_queue_size)
        self.data = data
        self.function = function
        self.order = getattr(data, "order", data)  # For a checkpoint.

    @property
    def num_batches(self):
        return self.data.num_batches

    def __getitem__(self, index):
        return self.function(self.data[index])

    def on_epoch_begin(self):
        self.data.on_epoch_begin()

    def on_epoch_end(self):
        self.data.on_epoch_end()
