"""HTTP in front of the job service; Flask lives here and nowhere else."""
