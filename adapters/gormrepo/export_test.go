package gormrepo

// For the tests of plans and of errors.
var (
	ListStatement = listStatement
	Outage        = outage
)
