"""Entry points under the names that the lake's first users know."""
