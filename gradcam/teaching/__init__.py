"""Grad-CAM laid open for teaching: its four steps in numbers, and the script that computes them."""

from gradcam.teaching.script import to_script
from gradcam.teaching.steps import GradcamSteps, gradcam_steps

__all__ = ["GradcamSteps", "gradcam_steps", "to_script"]
