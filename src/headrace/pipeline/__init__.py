"""run = load -> build -> audit -> publish -> record; each step a module, safe to repeat."""
