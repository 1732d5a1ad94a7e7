"""What is asked and what is expected: case files, matchers, expectations, similarity of texts, sealing."""
