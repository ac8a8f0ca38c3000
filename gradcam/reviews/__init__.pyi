from .agreement import Agreement as Agreement, cohen_kappa as cohen_kappa, krippendorff_alpha as krippendorff_alpha
from .database import default_store as default_store
from .model import (
    STATUSES as STATUSES,
    WHOLE as WHOLE,
    Assignment as Assignment,
    Comment as Comment,
    Project as Project,
    Review as Review,
    Subject as Subject,
    Verdict as Verdict,
)
from .store import ReviewStore as ReviewStore
