"""HTTP only: Flask lives here and nowhere else."""
