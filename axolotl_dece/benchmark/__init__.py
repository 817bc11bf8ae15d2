"""What DeCE costs on a device and shape, beside every cross-entropy a user could have instead: `axolotl dece bench`."""
