"""Problems built, solved and scored."""
