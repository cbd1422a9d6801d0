"""Programs that ask a language model (DSPy): read, compiled, packaged, made ready to serve.

Called by the command line, the admin API, the flywheel's turns and release. child/ runs in processes of its own, alone.
Decides what a program may be, what a compilation may spend, what a package holds: text, and never a key or a pickle.
Never import DSPy outside child/ and the factories of optimizers/: it is heavy, and it runs the program's code.
"""
