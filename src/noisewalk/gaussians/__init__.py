"""The kernels' Gaussian references N(m, H^-1), and when a warm-up fits them."""
