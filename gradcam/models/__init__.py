"""Models by id, with their weights, labels and preprocessing, or from a checkpoint of one's own."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
