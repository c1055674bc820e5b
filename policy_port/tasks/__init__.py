"""Tasks that a policy performs, described without a simulator, and the environments that train and judge them."""
