"""synthface: rendered emotional talking heads whose truth is known, a stand-in for MEAD. See README.md."""
