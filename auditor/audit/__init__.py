"""One audit: the stages a batch goes through, what adds up over all batches, and how an audit runs."""
