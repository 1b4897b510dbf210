"""The load step: sources one after the other, each table loaded, counted and explained."""
