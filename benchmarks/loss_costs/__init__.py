"""What each loss costs: its cases, the code it is compared with, and its memory."""
