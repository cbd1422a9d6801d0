"""The ways to compile a program, one file each."""
