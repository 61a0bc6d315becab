"""Networks of other libraries, and networks for them."""
