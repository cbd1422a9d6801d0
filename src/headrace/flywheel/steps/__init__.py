"""The stations of a turn, one file each: what goes in, what comes out, and when it refuses."""
