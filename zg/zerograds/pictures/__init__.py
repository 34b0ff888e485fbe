"""Surrogates of the picture: they predict the image, and the loss of the prediction drives θ."""
