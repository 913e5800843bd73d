"""A stand-in for the game behind SMAC: it speaks the s2client protocol, and its battles are the embedded engine's."""
