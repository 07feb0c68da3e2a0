"""Golden runs: recipes at tiny size, what their runs leave, and the comparison of two recordings."""
