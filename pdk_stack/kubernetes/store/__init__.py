"""Objects and their kinds. Independent of HTTP."""
