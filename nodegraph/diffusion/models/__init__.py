"""Networks, one family a file, in the key layouts of public checkpoints. They import nothing but torch."""
