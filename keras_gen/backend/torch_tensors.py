"""PyTorch's tensors, on every backend."""


def tensor_of_torch(array):
    """Return an array as a tensor of PyTorch; Keras reads nothing else from a DataLoader."""
    import torch  # Only who has a DataLoader needs it.

    return torch.as_tensor(array)
