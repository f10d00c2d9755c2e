"""Knowledge distillation: methods (one file per paper), the layers that they share, and teachers."""
