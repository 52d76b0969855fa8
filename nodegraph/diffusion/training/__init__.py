"""Train a small latent diffusion checkpoint from captioned pictures: data set, autoencoder, U-Net and text encoder, export."""
