from .architectures import architecture_names as architecture_names
from .catalogue import (
    CatalogueEntry as CatalogueEntry,
    catalogue_entries as catalogue_entries,
    search_models as search_models,
)
from .checkpoint import load_checkpoint as load_checkpoint, preprocessing_for as preprocessing_for
from .checkpoint_settings import (
    CROPS as CROPS,
    INPUT as INPUT,
    INTERPOLATIONS as INTERPOLATIONS,
    LABEL_SETS as LABEL_SETS,
    MAX_SIZE as MAX_SIZE,
    MIN_CROP as MIN_CROP,
    SUFFIXES as SUFFIXES,
)
from .classifier import Classifier as Classifier, load_classifier as load_classifier
from .guess import Guess as Guess, guess_architecture as guess_architecture
from .ids import (
    check_offered as check_offered,
    class_names as class_names,
    files_of as files_of,
    has_weights as has_weights,
    is_listed as is_listed,
    labels_of as labels_of,
    parse_model_id as parse_model_id,
)
from .label_files import read_labels as read_labels
from .labels import Labels as Labels
from .pool import ModelPool as ModelPool, shared_pool as shared_pool
from .sharing import is_file_of as is_file_of, load_shared as load_shared, write_options as write_options
from .sources import SOURCES as SOURCES
