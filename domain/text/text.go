// Package text holds what is true of all texts that people write and look for.
package text

import (
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Fold gives the form in which texts are searched: without regard to case
// (Unicode case folding) and to how accents and Hangul are composed (NFC).
// Stores keep folded texts beside the true ones, so that all agree.
func Fold(s string) string {
	return norm.NFC.String(cases.Fold().String(norm.NFC.String(s)))
}
