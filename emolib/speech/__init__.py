"""What nets that have heard real speech make of a sound: features for lips and emotion, and where anybody speaks."""
