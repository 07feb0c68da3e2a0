"""What the cache keeps of a language model: the parts of benchmarks/cache_language.py."""
