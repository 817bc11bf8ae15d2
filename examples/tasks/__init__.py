"""Tasks for `axolotl dece experiment` that are made on the spot: a module each, with the class as `TASK`."""
