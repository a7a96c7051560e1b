"""The stations of the tour, in the order in which people meet them: one function each, which is led by a `Guide`."""
