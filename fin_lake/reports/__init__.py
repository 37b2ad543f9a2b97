"""What people look at: charts in the UI, and the market report.

Pure functions from frames to bytes and text; what is read and where it is kept is for the assets to say.
"""
