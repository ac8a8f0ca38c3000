from .agreement import Agreement as Agreement, cohen_kappa as cohen_kappa, krippendorff_alpha as krippendorff_alpha
from .database import default_store as default_store
from .judging import by_subject as by_subject
from .model import (
    FILTERS as FILTERS,
    STATES as STATES,
    STATUSES as STATUSES,
    WHOLE as WHOLE,
    Assignment as Assignment,
    Comment as Comment,
    Filter as Filter,
    Project as Project,
    Review as Review,
    SharedModel as SharedModel,
    State as State,
    Subject as Subject,
    Verdict as Verdict,
    agreed_status as agreed_status,
    split_note as split_note,
    titled_note as titled_note,
)
from .roles import Actor as Actor, Role as Role, Roles as Roles, read_roles as read_roles
from .store import ReviewStore as ReviewStore
