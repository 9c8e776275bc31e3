"""Feedforward networks with a Lipschitz bound: sandwich layers, dense and convolutional."""
