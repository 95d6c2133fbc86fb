package fiberstore

// For the tests of the codec and of plans.
var (
	Encode      = encode
	Decode      = decode
	Pruning     = pruning
	PruningPast = pruningPast
)
