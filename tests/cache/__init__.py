"""A package, so that `import cache` finds this folder and not the benchmark of that name."""
