"""The market data APIs: one module per API, and one HTTP client with limits, retries and typed failures.

``fetching`` is the way in. A further API is one module that fulfils ``asking.Source``, named in
``fetching``. What the bars mean (duplicates, sessions, precedence) is decided by ``transforms``,
where they are kept by ``lake`` and ``warehouse``; neither belongs here.
"""
