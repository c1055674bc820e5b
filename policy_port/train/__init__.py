"""Training on plants: teacher, distilled student, fine-tuning; thin over RSL-RL."""
