"""Wire formats, both directions, sans-io; a front-end is a dialect and a path, a back-end a dialect and a credential."""
