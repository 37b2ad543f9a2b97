"""The market replay: a server that answers as the three APIs do, out of recorded bars.

No bar is invented or interpolated: finer recorded bars are aggregated, coarser ones than asked for
give the API's own answer for "nothing there".
"""
