from .admission import let_in as let_in
from .agreement import show_agreement as show_agreement
from .catalogue import (
    offer_models as offer_models,
    pick_entries as pick_entries,
    search_catalogue as search_catalogue,
)
from .competing_classes import (
    is_pair as is_pair,
    pick_competing_classes as pick_competing_classes,
    show_competing_classes as show_competing_classes,
)
from .custom_model import offer_custom_model as offer_custom_model, show_custom_models as show_custom_models
from .data_classes import show_classes as show_classes
from .data_filters import forget_undrawn as forget_undrawn, pick_shown as pick_shown
from .data_gallery import show_gallery as show_gallery
from .data_opened import opened_photo as opened_photo, show_opened as show_opened
from .data_progress import show_progress as show_progress
from .data_shortcuts import show_shortcuts as show_shortcuts
from .data_start import offer_start as offer_start, pick_run as pick_run
from .data_take import offer_to_take as offer_to_take
from .data_verdicts import pick_verdict as pick_verdict, team_review_of as team_review_of
from .depths import pick_class as pick_class, run_depths as run_depths, show_depths as show_depths
from .downloads import (
    offer_downloads as offer_downloads,
    offer_figures as offer_figures,
    offer_panels as offer_panels,
    offer_report_page as offer_report_page,
)
from .failed import show_failed as show_failed, show_failure as show_failure
from .layout import headline as headline, section as section
from .look import pick_colours as pick_colours, pick_look as pick_look
from .messages import escape_markdown as escape_markdown, say_error as say_error, show_errors as show_errors
from .methods import (
    BESIDE as BESIDE,
    pick_methods as pick_methods,
    pick_wrapper as pick_wrapper,
    show_methods as show_methods,
)
from .models import pick_models as pick_models
from .names import name_markdown as name_markdown
from .panel_dialog import offer_large as offer_large
from .panels import show_comparison as show_comparison, show_facts as show_facts, theme as theme
from .photos import offer_next_photos as offer_next_photos, pick_photos as pick_photos
from .pins import pick_layers as pick_layers
from .progress import (
    begin_comparison as begin_comparison,
    run_comparison as run_comparison,
    waiting_models as waiting_models,
)
from .report_build import offer_report as offer_report
from .report_changes import show_changes as show_changes
from .report_check import replay_report as replay_report
from .report_continue import continue_report as continue_report
from .report_read import check_files as check_files, open_report as open_report, show_report as show_report
from .report_write import write_notes as write_notes, write_verdict as write_verdict
from .request import (
    Request as Request,
    pick_classes as pick_classes,
    pick_fit as pick_fit,
    pick_request as pick_request,
)
from .review_list import (
    list_reviews as list_reviews,
    offer_review as offer_review,
    opened_review as opened_review,
    pick_project as pick_project,
    say_who as say_who,
)
from .review_open import show_review as show_review
from .signing import offer_signature as offer_signature
from .single_choice import pick_model as pick_model, pick_one as pick_one
from .steps import (
    panel_of as panel_of,
    show_classic as show_classic,
    show_code as show_code,
    show_maps as show_maps,
    show_other_line as show_other_line,
    show_photo as show_photo,
    show_question as show_question,
    show_sum as show_sum,
    show_weights as show_weights,
)
from .verdicts import discuss as discuss, judge as judge, show_verdicts as show_verdicts
from .viewer import (
    view_difference as view_difference,
    view_panels as view_panels,
    view_photo as view_photo,
    view_tools as view_tools,
)
