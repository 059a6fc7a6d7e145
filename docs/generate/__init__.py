"""Makes from the code what the code knows best: the reference pages and the manual pages.

Owns the form. The words are the code's own: help texts, docstrings, tables; where one is missing, making the page fails
and says where to add it. Development only, no part of what is installed.
"""
