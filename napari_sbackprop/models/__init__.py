"""The variational autoencoder: encoders, the coefficient head s(z), and the structural basis."""
