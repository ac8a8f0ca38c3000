"""Tables of target layers: of all known models from their shapes alone, and of one of each family, measured."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
