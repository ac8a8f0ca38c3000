from .find import (
    check_forwards as check_forwards,
    find_method as find_method,
    find_methods as find_methods,
    known_method as known_method,
)
from .method import Attention as Attention, Method as Method, Signals as Signals, Value as Value
from .table import GRADCAM as GRADCAM, METHODS as METHODS
from .wrappers import WRAPPERS as WRAPPERS, Wrapper as Wrapper
