"""Methods that the paper is compared with."""
