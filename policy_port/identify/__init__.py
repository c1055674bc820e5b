"""What a robot's recordings say of its dynamics; thin over mujoco.sysid, SciPy and cmaes."""
