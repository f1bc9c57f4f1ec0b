"""Publishing: one release is one immutable folder, one pointer says which of them is served."""
