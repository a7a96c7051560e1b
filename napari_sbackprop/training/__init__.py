"""Training: preprocessing, spectra, the closed-form start, the VAE, and the loop that publishes epochs."""
