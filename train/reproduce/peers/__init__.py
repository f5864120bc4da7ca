"""What a user would run instead: models of other projects, each in its own framework.

They are written from the architectures and settings that those projects publish. Each function
takes a seed and returns the batch size, a function that trains on one batch (images in [0, 1],
labels), and a function that returns a sample in [0, 1] for each of some labels, which only some of
the models regard: an array, or several by name.
"""
