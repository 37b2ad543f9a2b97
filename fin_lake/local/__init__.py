"""The embedded stack: PostgreSQL, S3 and a recorded market as ordinary processes of this machine.

Only the command line imports it. The rest of the platform sees addresses and credentials in its
settings, and cannot tell this stack from the real thing.
"""
