"""The studio: a finished run as a page where a person argues with the model.

`Desk` is one opened run; it answers with plain values and knows nothing of the web.
"""
