"""What a robot's recordings say of its dynamics; thin over MuJoCo's least squares and SciPy."""
