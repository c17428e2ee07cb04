"""The console's pages: each module reads what one page shows, and names its template.

A page is an address, a template, and a function from the session and the address's parameters to the template's values.
The function only reads, and raises :class:`pdk_shared.errors.PdkError` in words. A live page is read again while it is
open.
"""
