"""What benchmarks/catalogue.py is made of: the methods, the two settings they are tried in, the runs, the table."""
