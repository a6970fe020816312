"""Documents written from the code: settings, errors, routes, fields. Tests hold the files to what is written here."""
