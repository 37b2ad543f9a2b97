"""What exists: the software-defined assets, one module per layer.

An asset is a few lines: what it needs, what it gives. The work is in ``sources`` and
``transforms``, the storing in ``io_managers``.
"""
