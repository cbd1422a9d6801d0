"""Where a program of a turn runs: a child process, a Ray cluster, a Kubernetes cluster. One file each."""
