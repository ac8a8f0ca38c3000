from ._check import At as At, Check as Check, Effect as Effect, check_shortcut as check_shortcut
from ._find import find_shortcuts as find_shortcuts
from .candidate import (
    Accuracy as Accuracy,
    Candidate as Candidate,
    Channel as Channel,
    Member as Member,
)
from .maps import (
    ComponentMap as ComponentMap,
    Crop as Crop,
    channel_crops as channel_crops,
    component_maps as component_maps,
)
from .subjects import cluster_subjects as cluster_subjects, noted_candidates as noted_candidates
