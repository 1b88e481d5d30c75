"""What models and data sets of a hub share: listing a repository, its cache, errors in one line."""
