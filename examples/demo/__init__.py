"""A small world in which the whole story can be seen in minutes: poison, two trainings, one comparison."""
