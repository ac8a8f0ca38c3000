"""Where a heatmap of any classifier lies, found from the model's own data flow."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
