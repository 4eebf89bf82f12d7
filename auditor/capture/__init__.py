"""Reading captures: files, folders, pipes and live interfaces, block by block."""
