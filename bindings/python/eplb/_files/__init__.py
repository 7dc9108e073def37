"""Files of engines and of this package: who reads and writes which format."""
