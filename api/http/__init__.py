"""What every request passes through: authentication, bodies, headers, errors."""
