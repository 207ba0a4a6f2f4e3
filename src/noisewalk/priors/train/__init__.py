"""Training of priors: a diffusion teacher and its distillation into a consistency model."""
