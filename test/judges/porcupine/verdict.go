// What the judge has to say.

package main

import (
	"encoding/json"
	"fmt"
	"io"
)

// Violation is a broken promise with the part of the history that shows it.
type Violation struct {
	Promise, Reason string
	Part            []string
}

// violationsMax bounds what is printed: one broken promise breaks many others.
const violationsMax = 20

// Verdict collects what was found.
type Verdict struct {
	Violations []Violation
	Undecided  []string
	Figures    map[string]int
}

func (v *Verdict) add(promise string, part []string, reason string, args ...any) {
	v.Violations = append(v.Violations, Violation{promise, fmt.Sprintf(reason, args...), part})
}

func (v *Verdict) count(what string, by int) { v.Figures[what] += by }

// print writes the verdict and gives back the exit code.
func (v *Verdict) print(to io.Writer) int {
	for i, violation := range v.Violations {
		if i == violationsMax {
			fmt.Fprintf(to, "… and %d more\n", len(v.Violations)-violationsMax)
			break
		}
		fmt.Fprintf(to, "VIOLATION %s: %s\n", violation.Promise, violation.Reason)
		for _, line := range violation.Part {
			fmt.Fprintln(to, line)
		}
	}
	for _, what := range v.Undecided {
		fmt.Fprintf(to, "UNDECIDED %s\n", what)
	}
	v.Figures["violations"] = len(v.Violations)
	v.Figures["undecided"] = len(v.Undecided)
	figures, _ := json.Marshal(v.Figures)
	fmt.Fprintln(to, string(figures))
	switch {
	case len(v.Violations) > 0:
		return 1
	case len(v.Undecided) > 0:
		return 3
	}
	return 0
}

func lines(ops ...*Op) []string {
	var found []string
	for _, op := range ops {
		found = append(found, op.Line)
	}
	return found
}
