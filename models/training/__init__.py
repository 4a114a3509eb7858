"""The engine on which all systems are trained."""
