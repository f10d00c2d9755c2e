"""Knowledge distillation: methods (one paper, one file), the layers they share, and teachers."""
