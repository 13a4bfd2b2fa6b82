"""What is shown while a batch runs, and the table of a plan that is not to run."""
