"""Writing: texts as answers, the sentences they are made of, and how far two of them say the same."""
