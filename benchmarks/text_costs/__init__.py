"""What batches, teachers and files of texts cost: the parts of benchmarks/text_speed.py."""
