"""The mistakes of ports: what verdict and closed_loop know of them, and the edits that mend them."""
