"""Image formation, y = C . H . V + noise (eq. 1 of Kimanius et al. 2022): transforms, grids, CTF, poses, masks."""
