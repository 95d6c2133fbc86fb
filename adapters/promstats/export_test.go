package promstats

// KeepNothing has every scrape ask anew until what it returns is called.
func KeepNothing() (undo func()) {
	was := askedKept
	askedKept = 0
	return func() { askedKept = was }
}
