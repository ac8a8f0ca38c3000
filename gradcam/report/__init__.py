"""The report of a comparison: one frozen value, written in many formats, reopened, replayed and compared."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
