"""The methods that turn a model's activations and gradients into heatmaps: one table, a row and a function each."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
