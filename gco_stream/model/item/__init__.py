"""The item of the table: how its attributes are read, validated and warned about."""
