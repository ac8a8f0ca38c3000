from .script import to_script as to_script
from .steps import LINES as LINES, GradcamSteps as GradcamSteps, gradcam_steps as gradcam_steps
