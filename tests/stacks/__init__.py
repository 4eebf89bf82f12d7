"""What real stacks said to each other on loopback, and the script that lets them."""
