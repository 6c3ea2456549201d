"""Ways to run many tasks at once: in this process, on this machine's cores, or on a cluster."""
