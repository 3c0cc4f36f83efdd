"""What every request passes: authentication, bodies, headers, errors."""
