"""Unmodified clients of the HTTP server, each in an environment of its own.

`python -m tests.clients.install` installs them, from lock files, into `.clients/`. Renew the locks
of Python after a change of `requirements.in` or `cohere5.in`, in this folder, with the command that
the lock begins with and `--upgrade`; renew that of npm with `npm update --package-lock-only`.
"""
