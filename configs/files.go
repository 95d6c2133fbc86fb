package configs

import (
	_ "embed"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"

	"gatehouse/domain/access"
)

//go:embed gatehouse.example.yaml
var example string

//go:embed model.conf
var model string

//go:embed policy.csv
var policy string

// Example is a configuration file with every setting explained and at its
// default.
func Example() string { return example }

// Model is the Casbin model by which policies are decided.
func Model() string { return model }

// DefaultPolicy is the policy with which a new database begins. Its rows have
// no ids yet.
func DefaultPolicy() (access.Table, error) { return ReadPolicy(strings.NewReader(policy)) }

// ReadPolicy reads a policy of lines
//
//	p, role, resource, action, condition, effect
//	g, role, parent
//
// with # before a comment. It tells every line that is neither; whether the
// words mean anything is for access.Vocabulary.Check.
func ReadPolicy(from io.Reader) (access.Table, error) {
	r := csv.NewReader(from)
	r.Comment, r.TrimLeadingSpace, r.FieldsPerRecord = '#', true, -1
	var t access.Table
	var faults []error
	for {
		record, err := r.Read()
		if err == io.EOF {
			break
		}
		if err != nil { // of the CSV itself: what follows cannot be relied on
			return access.Table{}, errors.Join(append(faults, err)...)
		}
		line, _ := r.FieldPos(0)
		for i := range record {
			record[i] = strings.TrimSpace(record[i])
		}
		switch {
		case record[0] == "p" && len(record) == 6:
			t.Rows = append(t.Rows, access.Row{Role: record[1], Resource: record[2], Action: record[3], Condition: record[4], Effect: record[5]})
		case record[0] == "g" && len(record) == 3:
			t.Inherits = append(t.Inherits, access.Inheritance{Role: record[1], Parent: record[2]})
		default:
			faults = append(faults, fmt.Errorf("line %d: this is neither \"p, role, resource, action, condition, effect\" nor \"g, role, parent\"", line))
		}
	}
	if len(faults) > 0 {
		return access.Table{}, errors.Join(faults...)
	}
	return t, nil
}
