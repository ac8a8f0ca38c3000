"""Raw maps into pictures, plots and pages."""
