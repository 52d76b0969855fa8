"""The nodes there are, known without running any of them."""
