package fiberstore

// For the tests of the codecs and of plans.
var (
	Encode      = encode
	Decode      = decode
	Pruning     = pruning
	PruningPast = pruningPast
	DecodePast  = decodePast
	EndingBytes = ending8
)
