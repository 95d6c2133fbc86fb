package fiberstore

// For the tests of the codec.
var (
	Encode = encode
	Decode = decode
)
