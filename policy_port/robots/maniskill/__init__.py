"""ManiSkill tasks on the arm."""
