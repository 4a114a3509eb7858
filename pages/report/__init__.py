"""A catalog at a glance: pictures of what was found, dropped, merged and drawn, on one page that needs no network."""
