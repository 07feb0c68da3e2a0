"""From user input to predictions with an exported file. Nothing here imports torch."""
