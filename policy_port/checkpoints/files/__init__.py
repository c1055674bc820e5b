"""Reading files from strangers without running them."""
