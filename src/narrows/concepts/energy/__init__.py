"""The energies of ECBM: how they are searched, tabled, and made a bottleneck."""
